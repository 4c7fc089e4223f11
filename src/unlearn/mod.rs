//! Forgetting: methods that remove the influence of samples.
