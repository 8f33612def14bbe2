//! What many triggers cost us and their brokers, on real brokers. Its last line has the figures.
//!
//! Each case polls in a program of its own, so that its memory is its own. `--quick` counts over one poll instead of several.

mod kafka;
mod measured;
mod rabbitmq;
mod redis;

use anyhow::Result;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(address) = arguments.iter().skip_while(|argument| *argument != kafka::POLL).nth(1) {
        return kafka::poll(address, &arguments).await;
    }
    let kafka = kafka::measure(&arguments).await?;
    let rabbitmq = rabbitmq::measure(&arguments).await?;
    let redis = redis::measure().await?;
    println!("scalers: {kafka} rabbitmq10000_requests_per_poll={rabbitmq} redis5000_poll_ms={redis}");
    Ok(())
}

/// How many polls are counted.
fn rounds(arguments: &[String]) -> usize {
    if arguments.iter().any(|argument| argument == "--quick") { 1 } else { 4 }
}
