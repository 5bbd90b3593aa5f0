//! The scenarios of the model, by their names.
