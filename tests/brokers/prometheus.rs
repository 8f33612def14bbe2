//! Prometheus' scaler on a real Prometheus: what queries give, what it says of mistakes, logins, TLS, and how it lives through an outage.

use anyhow::{Context, Result, ensure};
use springtide_core::reading::{Reading, Sample};
use springtide_core::units::MetricMilli;
use springtide_scalers::Trigger;
use springtide_testbed::{Prometheus, PrometheusDoor, TcpProxy};

use super::reader::{self, Reader, sample};

/// A trigger with this query.
fn trigger(address: &str, query: &str, more: &[(&str, &str)], auth: &[(&str, &str)]) -> Result<Trigger> {
    let metadata = [("serverAddress", address), ("query", query), ("threshold", "1")];
    reader::trigger("prometheus", &metadata.iter().chain(more).copied().collect::<Vec<_>>(), auth)
}

/// Two series with one number each.
const TWO: &str = r#"label_replace(vector(1), "a", "x", "", "") or label_replace(vector(2), "a", "y", "", "")"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_is_read_as_it_is() -> Result<()> {
    let prometheus = Prometheus::start(PrometheusDoor::Open).await?;
    answers_are_numbers_or_say_what_they_are(&prometheus).await?;
    an_outage_is_stale_and_then_over(&prometheus).await
}

async fn answers_are_numbers_or_say_what_they_are(prometheus: &Prometheus) -> Result<()> {
    let (mut reader, url) = (Reader::new(), prometheus.url());
    let is_strict = [("ignoreNullValues", "false")];
    for (query, number) in [("vector(5)", 5), ("scalar(vector(7))", 7), ("up", 1), ("vector(0)", 0)] {
        reader.metric(trigger(&url, query, &is_strict, &[])?, number).await.with_context(|| format!("the query {query}"))?;
    }
    reader.metric(trigger(&url, &format!("sum({TWO})"), &is_strict, &[])?, 3).await?;
    for query in ["nothing_has_this_name", "vector(1) / 0", "vector(0) / 0"] {
        reader.metric(trigger(&url, query, &[], &[])?, 0).await.with_context(|| format!("without a number, {query}"))?;
        let error = reader.failure(trigger(&url, query, &is_strict, &[])?).await?;
        ensure!(error.contains("ignoreNullValues"), "{query} reads: {error}");
    }
    for (query, part) in [
        (TWO, "2 series (returned multiple elements)"),
        ("sum(", "parse error"),
        ("up[5m]", "a result of type \"matrix\""),
        (r#""a text""#, "a result of type \"string\""),
    ] {
        let error = reader.failure(trigger(&url, query, &[], &[])?).await?;
        ensure!(error.contains(part), "{query} reads: {error}");
    }
    // A query that fails does not touch the one beside it.
    let wrong = reader.set(trigger(&url, "sum(", &[], &[])?);
    reader.metric(trigger(&url, "vector(5)", &[], &[])?, 5).await.context("beside a wrong query")?;
    reader.poller.remove(wrong);
    let error = reader.failure(trigger(&format!("{url}/elsewhere"), "up", &[], &[])?).await?;
    ensure!(error.contains("does not exist"), "a path that is not there reads: {error}");
    Ok(())
}

async fn an_outage_is_stale_and_then_over(prometheus: &Prometheus) -> Result<()> {
    let mut reader = Reader::new();
    let line = TcpProxy::start(prometheus.address()).await?;
    let id = reader.set(trigger(&format!("http://{}", line.address()), "vector(5)", &[], &[])?);
    let five = |sample: &Sample| sample.metric == MetricMilli(5000);
    let value = |reading: &Reading| sample(reading).filter(five);
    let stale = |reading: &Reading| if let Reading::Stale { last, error, .. } = reading { five(last).then(|| error.clone()) } else { None };
    reader.until(id, "a value through the line", value).await?;
    line.close();
    let error = reader.until(id, "the last value as stale", stale).await?;
    ensure!(error.contains("127.0.0.1"), "a cut line reads: {error}");
    line.open();
    reader.until(id, "a value after the outage", value).await?;
    prometheus.pause()?;
    let error = reader.until(id, "the last value as stale", stale).await?;
    ensure!(error.contains("did not answer within 1000 ms"), "a server that hangs reads: {error}");
    prometheus.resume()?;
    reader.until(id, "a value after the server hung", value).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_lets_in_whom_it_knows() -> Result<()> {
    let (closed, encrypted) = tokio::try_join!(Prometheus::start(PrometheusDoor::Password), Prometheus::start(PrometheusDoor::Tls))?;
    let mut reader = Reader::new();
    let (user, password) = Prometheus::login();
    let basic = [("authModes", "basic")];
    reader.metric(trigger(&closed.url(), "vector(5)", &basic, &[("username", user), ("password", password)])?, 5).await?;
    for auth in [&[("username", user), ("password", "not-the-word")][..], &[("username", "nobody")]] {
        let error = reader.failure(trigger(&closed.url(), "vector(5)", &basic, auth)?).await?;
        ensure!(error.contains("refuses the login") && !error.contains("not-the-word"), "a wrong login reads: {error}");
    }
    let error = reader.failure(trigger(&closed.url(), "vector(5)", &[], &[])?).await?;
    ensure!(error.contains("refuses the login"), "no login reads: {error}");

    let tls = [("authModes", "tls")];
    let authority = [("ca", encrypted.authority())];
    reader.metric(trigger(&encrypted.url(), "vector(5)", &tls, &authority)?, 5).await.context("with its authority")?;
    reader.metric(trigger(&encrypted.url(), "vector(5)", &[("unsafeSsl", "true")], &[])?, 5).await.context("unchecked")?;
    let error = reader.failure(trigger(&encrypted.url(), "vector(5)", &[], &[])?).await?;
    ensure!(error.contains("UnknownIssuer"), "an authority that nobody knows reads: {error}");
    // The certificate is for another name than this address.
    let error = reader.failure(trigger(&format!("https://{}", encrypted.address()), "vector(5)", &tls, &authority)?).await?;
    ensure!(error.contains("not valid for name"), "another name reads: {error}");
    Ok(())
}
