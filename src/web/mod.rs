//! The edge to people: the page and its JSON.

mod figure;
mod headline;
mod server;
pub mod view;

pub use server::serve;

/// The page's usual port.
pub const PORT: u16 = 8900;
