"""The method in plain loops, written from the formulas: slow, and sharing no code with mmcl."""

from __future__ import annotations

import math

import torch


def topk_pool(logit, lengths, topk_divisor):
    """logit: list-like (bag, snippet, class); returns (bag, class)."""
    rows = []
    for b, n in enumerate(lengths):
        k = min(n // topk_divisor + 1, n)
        row = []
        for c in range(logit.shape[2]):
            values = sorted((logit[b, t, c] for t in range(n)), key=float, reverse=True)
            row.append(sum(values[:k]) / k)
        rows.append(torch.stack(row))
    return torch.stack(rows)


def mil_loss(logit, label):
    total = 0.0
    for b in range(logit.shape[0]):
        for c in range(logit.shape[1]):
            p = 1 / (1 + torch.exp(-logit[b, c]))
            total = total - (label[b, c] * torch.log(p) + (1 - label[b, c]) * torch.log(1 - p))
    return total / logit.shape[0]


def cosine(a, b):
    return (a * b).sum() / (a.norm() * b.norm())


def anchor_loss(query, positive, negatives, temperature, beta=0.0, tau=0.0, detach=False):
    """One row of the formula, straight exponentials."""
    if not negatives:
        return torch.zeros((), dtype=query.dtype)
    n = len(negatives)
    pos = torch.exp(cosine(query, positive) / temperature)
    neg = [torch.exp(cosine(query, x) / temperature) for x in negatives]
    power = [(x.detach() if detach else x) ** beta for x in neg]
    mean = sum(power) / n
    weighted = sum(w / mean * x for w, x in zip(power, neg, strict=True))
    ng = weighted
    if tau > 0:
        ng = (weighted - n * tau * pos) / (1 - tau)
        floor = n * math.exp(-1 / temperature)
        ng = ng if ng.item() > floor else torch.tensor(floor, dtype=query.dtype)
    return -torch.log(pos / (pos + ng))


def split_topk(score, n, topk_divisor, overlap=False):
    """Indices of the high and the low snippets of one bag."""
    order = sorted(range(n), key=lambda t: -float(score[t]))
    k = min(n // topk_divisor + 1, n)
    low = order[-k:] if overlap else order[k:][-k:]
    return order[:k], low


def split_means(score, n, n_clusters, min_gap):
    """Exact 1-D k-means by trying every split of the sorted scores."""
    order = sorted(range(n), key=lambda t: -float(score[t]))
    x = [float(score[t]) for t in order]

    def within(part):
        mean = sum(part) / len(part)
        return sum((v - mean) ** 2 for v in part)

    mean = sum(x) / n
    n_clusters = min(n_clusters, n)
    options = []
    if n_clusters == 2:
        options = [(within(x[:i]) + within(x[i:]), i, i) for i in range(1, n)]
    elif n_clusters == 3:
        options = [(within(x[:i]) + within(x[i:j]) + within(x[j:]), i, j) for i in range(1, n) for j in range(i + 1, n)]
    if options:
        _, i, j = min(options)
        if sum(x[:i]) / i - sum(x[j:]) / (n - j) >= min_gap:
            return order[:i], order[j:]
    i = n if mean >= 0.5 else 1
    return order[:i], order[i:]


def semi_bag_terms(
    embedding,
    score,
    lengths,
    is_event,
    *,
    topk_divisor,
    temperature,
    beta=0.0,
    tau=0.0,
    by_snippets=False,
    split=None,
):
    """The four terms of two modalities a, b: ``{"a->b/kind": value}``."""
    split = split or (lambda s, n: split_topk(s, n, topk_divisor))
    parts = {m: [split(s[b], n) for b, n in enumerate(lengths)] for m, s in score.items()}
    terms = {}
    for b in embedding:
        background = [embedding[b][i, t] for i in range(len(lengths)) for t in parts[b][i][1]]
        normal = [embedding[b][i, t] for i in range(len(lengths)) if not is_event[i] for t in parts[b][i][0]]
        for a in embedding:
            if a == b:
                continue
            for kind, negatives in (("background", background), ("normal", normal)):
                total, weights = 0.0, 0.0
                for i in range(len(lengths)):
                    if not is_event[i] or not negatives:
                        continue
                    q = torch.stack([embedding[a][i, t] for t in parts[a][i][0]]).mean(0)
                    p = torch.stack([embedding[b][i, t] for t in parts[b][i][0]]).mean(0)
                    w = len(parts[a][i][0]) if by_snippets else 1
                    total = total + w * anchor_loss(q, p, negatives, temperature, beta, tau)
                    weights += w
                terms[f"{a}->{b}/{kind}"] = total / weights if weights else torch.zeros((), dtype=torch.float64)
    return terms


def layer_norm(x, weight, bias):
    mean = x.mean()
    return (x - mean) / torch.sqrt(((x - mean) ** 2).mean() + 1e-5) * weight + bias


class TwoStream:
    """MACIL-SD's network over one bag without padding, snippet by snippet; weights by our names."""

    def __init__(self, weights, modalities, n_heads=4):
        self.w, self.modalities, self.n_heads = weights, modalities, n_heads

    def linear(self, name, x):
        return self.w[f"{name}.weight"] @ x + self.w[f"{name}.bias"]

    def attend(self, query, context):
        """One pre-norm layer; the norm is on the query path only."""
        at = f"fusion.layer.{self.modalities[0]}"
        keys = [self.linear(f"{at}.key", c) for c in context]
        values = [self.linear(f"{at}.value", c) for c in context]
        out = []
        for x in query:
            q = self.linear(
                f"{at}.query",
                layer_norm(x, self.w[f"{at}.norm_attention.weight"], self.w[f"{at}.norm_attention.bias"]),
            )
            heads, size = [], len(q) // self.n_heads
            for h in range(self.n_heads):
                part = slice(h * size, (h + 1) * size)
                weight = [torch.exp((q[part] * k[part]).sum() / math.sqrt(size)) for k in keys]
                heads.append(sum(a * v[part] for a, v in zip(weight, values, strict=True)) / sum(weight))
            y = x + self.linear(f"{at}.out", torch.cat(heads))
            hidden = layer_norm(y, self.w[f"{at}.norm_hidden.weight"], self.w[f"{at}.norm_hidden.bias"])
            hidden = self.linear(f"{at}.hidden", hidden)
            out.append(y + self.linear(f"{at}.back", hidden * (hidden > 0)))
        return out

    def __call__(self, features, longest=0):
        """features[m]: (snippet, channel). Returns embeddings and logits by modality, snippet lists. Attention sees so
        many rows of zeros as the bag is shorter than the longest."""
        own = {m: [self.linear(f"encoder.{m}.project", x) for x in features[m]] for m in self.modalities}
        padding = {
            m: [self.linear(f"encoder.{m}.project", 0 * features[m][0])] * max(longest - len(own[m]), 0)
            for m in self.modalities
        }
        other = {m: next((o for o in self.modalities if o != m), m) for m in self.modalities}
        embedding = {m: self.attend(own[m], own[other[m]] + padding[other[m]]) for m in self.modalities}
        logit = {m: [self.linear("classifier", e)[0] for e in embedding[m]] for m in self.modalities}
        return embedding, logit


def mean_of_highest(values, topk_divisor):
    n = len(values)
    return sum(sorted(values, key=lambda v: v.item(), reverse=True)[: min(n // topk_divisor + 1, n)]) / min(
        n // topk_divisor + 1, n
    )


def bag_loss(logits, labels, topk_divisor):
    """Binary cross-entropy of the pooled logit, mean over bags."""
    total = 0.0
    for values, label in zip(logits, labels, strict=True):
        p = 1 / (1 + torch.exp(-mean_of_highest(values, topk_divisor)))
        total = total - (torch.log(p) if label else torch.log(1 - p))
    return total / len(labels)


def macil_sd_losses(student, teacher, bags, labels, weight, topk_divisor, temperature, as_code=False):
    """All losses of one step: ``{"mil", "teacher", "contrast a->b/kind"}``, the contrast already weighted.

    as_code: as the authors' code, where it departs from the paper: attention over padding, scores that cluster the
    other modality, bags weighted by their snippets, a lone snippet in both semi-bags.
    """
    longest = max(len(bag["visual"]) for bag in bags) if as_code else 0
    results = [student(bag, longest) for bag in bags]
    joint = [[sum(parts) for parts in zip(*logit.values(), strict=True)] for _, logit in results]
    losses = {"mil": bag_loss(joint, labels, topk_divisor)}
    visual = [teacher({"visual": bag["visual"]}, longest)[1]["visual"] for bag in bags]
    losses["teacher"] = bag_loss(visual, labels, topk_divisor)
    is_event = [1 / (1 + math.exp(-mean_of_highest(j, topk_divisor).item())) > 0.5 for j in joint]
    lengths = [len(j) for j in joint]
    embedding, score = {}, {}
    for m in student.modalities:
        embedding[m] = {(b, t): e for b, (emb, _) in enumerate(results) for t, e in enumerate(emb[m])}
        score[m] = [[1 / (1 + math.exp(-v.item())) for v in logit[m]] for _, logit in results]
    if as_code:
        score = dict(zip(score, reversed(score.values()), strict=True))
    terms = semi_bag_terms(
        embedding,
        score,
        lengths,
        is_event,
        topk_divisor=topk_divisor,
        temperature=temperature,
        by_snippets=as_code,
        split=lambda s, n: split_topk(s, n, topk_divisor, as_code),
    )
    return losses | {f"contrast {k}": weight * v for k, v in terms.items()}


class LoopAttention(torch.nn.Module):
    """The shared pre-norm layer over whole padded bags."""

    def __init__(self, dim, n_heads, dropout):
        super().__init__()
        nn = torch.nn
        self.n_heads = n_heads
        self.norm_attention, self.norm_hidden = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))
        self.hidden, self.back = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, context, mask):
        n, length, dim = query.shape

        def split(x):
            return x.view(n, length, self.n_heads, dim // self.n_heads).transpose(1, 2)

        q = split(self.query(self.norm_attention(query)))
        k, v = split(self.key(context)), split(self.value(context))
        logit = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(dim // self.n_heads)
        weight = self.dropout(logit.masked_fill(~mask[:, None, None, :], -1e9).softmax(-1))
        attended = torch.matmul(weight, v).transpose(1, 2).reshape(n, length, dim)
        x = query + self.dropout(self.out(attended))
        hidden = self.dropout(torch.relu(self.hidden(self.norm_hidden(x))))
        return x + self.dropout(self.back(hidden))


class LoopMacilSd(torch.nn.Module):
    """MACIL-SD as its authors' loop is described: padded batches, Python over bags, tensors that grow by
    concatenation. What mmcl's training step is timed against; same losses, to the last digits."""

    def __init__(self, n_channels, dim=128, n_heads=4, dropout=0.1):
        super().__init__()
        self.modalities = tuple(n_channels)
        self.project = torch.nn.ModuleDict({m: torch.nn.Linear(n, dim) for m, n in n_channels.items()})
        self.layer = LoopAttention(dim, n_heads, dropout)
        self.classifier = torch.nn.Linear(dim, 1)

    def take_weights(self, network):
        """Those of mmcl's network of the same sizes."""
        first = self.modalities[0]
        for m in self.modalities:
            self.project[m].load_state_dict(network.encoder[m].project.state_dict())
        self.layer.load_state_dict(network.fusion.layer[first].state_dict())
        self.classifier.load_state_dict(network.classifier.state_dict())
        return self

    def forward(self, features, mask):
        own = {m: self.project[m](features[m]) for m in self.modalities}
        other = {m: next((o for o in self.modalities if o != m), m) for m in self.modalities}
        embedding = {m: self.layer(own[m], own[other[m]], mask) for m in self.modalities}
        logit = {m: self.classifier(e)[..., 0] for m, e in embedding.items()}
        return embedding, logit


def loop_pool(logit, lengths, topk_divisor=16):
    """One bag after the other; the result grows."""
    pooled = torch.zeros(0, dtype=logit.dtype, device=logit.device)
    for i in range(len(lengths)):
        n = int(lengths[i])
        k = min(n // topk_divisor + 1, n)
        top, _ = torch.topk(logit[i][:n], k=k, largest=True)
        pooled = torch.cat([pooled, top.mean().reshape(1)])
    return pooled


def loop_contrast(embedding, logit, joint_score, lengths, temperature, topk_divisor=16):
    """The four terms, a violent bag's mean repeated as often as it has picks."""
    parts = {}
    for m, e in embedding.items():
        empty = torch.zeros(0, e.shape[-1], dtype=e.dtype, device=e.device)
        violent, normal, background = empty, empty, empty
        for i in range(len(lengths)):
            n = int(lengths[i])
            k = min(n // topk_divisor + 1, n)
            _, high = torch.topk(logit[m][i][:n], k=k, largest=True)
            _, low = torch.topk(logit[m][i][:n], k=min(k, n - k), largest=False)
            background = torch.cat([background, e[i][low]])
            if joint_score[i] > 0.5:
                mean = e[i][high].mean(0, keepdim=True)
                violent = torch.cat([violent, mean.repeat(k, 1)])
            else:
                normal = torch.cat([normal, e[i][high]])
        parts[m] = (violent, normal, background)
    terms = {}
    for a in embedding:
        for b in embedding:
            if a == b:
                continue
            for kind, negative in (("normal", parts[b][1]), ("background", parts[b][2])):
                query, positive = parts[a][0], parts[b][0]
                if len(query) == 0 or len(negative) == 0:
                    terms[f"{a}->{b}/{kind}"] = torch.zeros((), dtype=query.dtype, device=query.device)
                    continue
                q, p, n = (torch.nn.functional.normalize(x, dim=-1) for x in (query, positive, negative))
                row = torch.cat([(q * p).sum(1, keepdim=True), q @ n.T], dim=1) / temperature
                zero = torch.zeros(len(q), dtype=torch.long, device=q.device)
                terms[f"{a}->{b}/{kind}"] = torch.nn.functional.cross_entropy(row, zero)
    return terms


def loop_losses(student, teacher, features, mask, label, weight, temperature=0.1):
    """All losses of a training step, named as in ``macil_sd_losses``."""
    lengths = mask.sum(1)
    bce = torch.nn.functional.binary_cross_entropy
    embedding, logit = student(features, mask)
    joint_score = torch.sigmoid(loop_pool(sum(logit.values()), lengths))
    losses = {"mil": bce(joint_score, label)}
    visual = teacher({"visual": features["visual"]}, mask)[1]["visual"]
    losses["teacher"] = bce(torch.sigmoid(loop_pool(visual, lengths)), label)
    terms = loop_contrast(embedding, logit, joint_score, lengths, temperature)
    return losses | {f"contrast {k}": weight * v for k, v in terms.items()}
