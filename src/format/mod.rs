//! The model file: parameters, their masks, and what proves them whole.
