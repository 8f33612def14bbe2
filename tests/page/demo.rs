//! `springtide demo` as a person starts it. It ends with the test, also when the test is killed.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

const PROGRAM: &str = env!("CARGO_BIN_EXE_springtide");

/// A demo with its page.
pub struct Demo {
    _child: Child,
    /// Kept open: it goes on to print.
    _printed: BufReader<ChildStdout>,
    /// Where its page is.
    pub url: String,
}

impl Demo {
    /// Starts one and waits until it says where its page is.
    pub async fn start(flags: &[&str]) -> Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", PROGRAM, "demo", "--port", "0"]).args(flags);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().context("start the demo")?;
        let mut printed = BufReader::new(child.stdout.take().context("the demo has no standard output")?);
        let url = async {
            let mut line = String::new();
            while printed.read_line(&mut line).await? > 0 {
                if let Some(url) = line.trim().strip_prefix("page: ") {
                    return Ok(url.to_owned());
                }
                line.clear();
            }
            bail!("the demo ended without saying where its page is")
        };
        let url = tokio::time::timeout(Duration::from_secs(30), url).await.context("the demo does not start")??;
        Ok(Self { _child: child, _printed: printed, url })
    }

    /// How the story of a seed ends when nobody watches.
    pub async fn unwatched(seed: &str) -> Result<Value> {
        let mut command = Command::new(PROGRAM);
        command.args(["demo", "--headless", "--until-drained", "-o", "json", "--seed", seed]).kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await.context("the demo does not end")??;
        ensure!(output.status.success(), "the demo failed: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).context("the demo's figures are not JSON")
    }
}
