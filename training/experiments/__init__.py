"""The protocols of two papers, repeated on data of one's own: stages that are computed once, and
reports made of them. Statistics stand in `training.statistics`, recipes in `training.presets`."""
