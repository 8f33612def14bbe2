//! Scenes on a real control plane and a real broker: what the daemon is for, and what must not go wrong with it.

mod burst;
mod hardship;
mod layers;
mod leadership;
mod mistakes;
mod secrets;
mod shadow;

use std::sync::{Mutex, PoisonError, Weak};

use anyhow::Result;
use springtide_testbed::{Rabbit, RabbitOptions};
use std::sync::Arc;

/// The daemon's program, built with this test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_springtide");

/// One broker for all scenes, which have a vhost each. It stops with the last of them.
async fn rabbit() -> Result<Arc<Rabbit>> {
    static SHARED: Mutex<Weak<Rabbit>> = Mutex::new(Weak::new());
    static STARTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _one_at_a_time = STARTING.lock().await;
    let known = SHARED.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
    if let Some(known) = known {
        return Ok(known);
    }
    let new = Arc::new(Rabbit::start(RabbitOptions::default()).await?);
    *SHARED.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&new);
    Ok(new)
}
