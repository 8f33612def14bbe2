//! The scaler of Azure's storage queues on Azurite: what it counts, what it says of mistakes, and how it lives through an outage.

use anyhow::{Result, ensure};
use springtide_core::reading::Reading;
use springtide_core::units::MetricMilli;
use springtide_scalers::Trigger;
use springtide_testbed::Azurite;

use super::reader::{self, Reader, sample};

/// A trigger at this account.
fn trigger(connection: &str, queue: &str, strategy: &str) -> Result<Trigger> {
    reader::trigger("azure-queue", &[("queueName", queue), ("queueLengthStrategy", strategy)], &[("connection", connection)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_queues_are_read_as_they_are() -> Result<()> {
    let mut azurite = Azurite::start().await?;
    counts_are_those_of_the_queue(&azurite).await?;
    mistakes_are_told_without_secrets(&azurite).await?;
    an_outage_is_stale_and_then_over(&mut azurite).await
}

async fn counts_are_those_of_the_queue(azurite: &Azurite) -> Result<()> {
    let (mut reader, connection) = (Reader::new(), azurite.connection());
    for (queue, count, held) in [("empty", 0, 0), ("some", 7, 0), ("in-flight", 9, 4), ("all-held", 5, 5), ("many", 100, 3)] {
        azurite.create(queue).await?;
        azurite.put(queue, count).await?;
        if held > 0 {
            ensure!(azurite.take(queue, held).await? == held, "{queue} gives {held}");
        }
        let count = i64::try_from(count)?;
        let visible = count - i64::try_from(held)?;
        // Of more than the service shows, all count.
        let seen = if visible < 32 { visible } else { count };
        reader.metric(trigger(&connection, queue, "all")?, count).await?;
        let sample = reader.metric(trigger(&connection, queue, "visibleonly")?, seen).await?;
        ensure!(sample.ready == u64::try_from(visible).ok().filter(|ready| *ready < 32), "{queue}: {sample:?}");
    }
    Ok(())
}

async fn mistakes_are_told_without_secrets(azurite: &Azurite) -> Result<()> {
    let (mut reader, connection) = (Reader::new(), azurite.connection());
    let wrong = connection.replace(azurite.key(), "d3Jvbmcta2V5");
    for strategy in ["all", "visibleonly"] {
        for (connection, queue, words) in [
            (&connection, "nowhere", "queue \"nowhere\" does not exist"),
            (&wrong, "some", "refuses the login"),
            (&connection, "NOT A NAME", "error inspecting the Azure storage account"),
        ] {
            let error = reader.failure(trigger(connection, queue, strategy)?).await?;
            ensure!(error.contains(words) || strategy == "visibleonly" && error.contains("does not exist"), "{words}: {error}");
            ensure!(!error.contains(azurite.key()) && !error.contains("d3Jvbmcta2V5") && !error.contains("SharedKey dev"), "{error}");
        }
    }
    Ok(())
}

async fn an_outage_is_stale_and_then_over(azurite: &mut Azurite) -> Result<()> {
    let mut reader = Reader::new();
    let id = reader.set(trigger(&azurite.connection(), "some", "all")?);
    let is = |number: i64| move |reading: &Reading| sample(reading).filter(|sample| sample.metric == MetricMilli(number * 1000));
    let stale = |words: &'static str| {
        move |reading: &Reading| match reading {
            Reading::Stale { last, error, .. } if last.metric == MetricMilli(7000) && error.contains(words) => Some(()),
            _ => None,
        }
    };
    reader.until(id, "7 messages", is(7)).await?;
    azurite.pause()?;
    reader.until(id, "a read that takes too long", stale("did not answer within")).await?;
    azurite.resume()?;
    reader.until(id, "7 messages again", is(7)).await?;
    azurite.kill();
    reader.until(id, "a refused connection", stale("error establishing connection")).await?;
    azurite.start_again().await?;
    azurite.create("some").await?;
    azurite.put("some", 3).await?;
    reader.until(id, "3 messages of the new one", is(3)).await?;
    Ok(())
}
