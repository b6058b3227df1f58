//! Placeholder while the shape is found.
