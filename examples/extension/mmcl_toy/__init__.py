"""Extensions of mmcl: a data set, an objective component, a feature extractor, an encoder and a kind of sensor."""
