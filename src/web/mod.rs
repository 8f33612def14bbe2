//! The edge to people: the page and its JSON.

pub mod view;
