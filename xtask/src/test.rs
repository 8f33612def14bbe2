//! `cargo xtask test`: every suite of the workspace. The last line is `N passed, N failed`.
//!
//! A suite that does not compile counts as one failed test, and all others still run.

use std::io::{BufRead, BufReader, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::cargo;
use crate::{Outcome, setup};

/// The same targets as `cargo test --workspace`, documentation's examples apart.
const BUILD: &[&str] = &["build", "--workspace", "--tests", "--keep-going", "--message-format=json-render-diagnostics"];

const EXAMPLES: &[&str] = &["test", "--workspace", "--doc", "--no-fail-fast"];

/// The suite of scenes on real parts. They wait for machines to boot and windows to pass, so many of them fit on few cores.
const SCENES: &str = "(test whole)";
const SCENES_AT_ONCE: &str = "8";

/// A suite that prints nothing for this long hangs: no test may take as long, and one that hangs must not hide the results of the others.
const QUIET: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
}

/// A built suite.
struct Suite {
    name: String,
    program: PathBuf,
    /// Cargo runs tests in their crate's folder.
    folder: PathBuf,
}

pub(crate) fn run() -> Result<Outcome> {
    let tally = match setup::run() {
        Ok(_) => all_suites()?,
        Err(error) => {
            println!("setup: {error:#}");
            Tally { passed: 0, failed: 1 }
        }
    };
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(if tally.failed == 0 { Outcome::Good } else { Outcome::Problems })
}

fn all_suites() -> Result<Tally> {
    let (suites, failed) = build()?;
    let mut total = Tally { passed: 0, failed };
    for suite in &suites {
        println!("\n==> {}", suite.name);
        let mut command = Command::new(&suite.program);
        // Cargo would set it; tests find their data by it.
        command.current_dir(&suite.folder).env("CARGO_MANIFEST_DIR", &suite.folder);
        if suite.name.contains(SCENES) {
            command.env("RUST_TEST_THREADS", SCENES_AT_ONCE);
        }
        total.add(run_counted(command)?);
    }
    println!("\n==> examples in documentation");
    total.add(run_counted(cargo(EXAMPLES))?);
    Ok(total)
}

/// Builds all suites; those that could be built, and the number of targets that could not.
fn build() -> Result<(Vec<Suite>, usize)> {
    let mut child = cargo(BUILD).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot start cargo")?;
    let errors = child.stderr.take().context("cargo has no standard error")?;
    let counting = thread::spawn(move || {
        let lines = BufReader::new(errors).lines().map_while(Result::ok);
        lines.inspect(|line| eprintln!("{line}")).filter(|line| line.contains("error: could not compile")).count()
    });
    let messages = BufReader::new(child.stdout.take().context("cargo has no standard output")?);
    let mut suites = Vec::new();
    for line in messages.lines() {
        let line = line.context("cannot read what cargo prints")?;
        suites.extend(serde_json::from_str(&line).ok().and_then(|message| suite(&message)));
    }
    let succeeded = child.wait().context("cargo was lost")?.success();
    let failed = counting.join().unwrap_or_default();
    suites.sort_by(|one, other| one.name.cmp(&other.name));
    // Whatever else cargo stumbles over is a failure too.
    Ok((suites, if succeeded { 0 } else { failed.max(1) }))
}

/// The suite that a message of cargo announces, if it does.
fn suite(message: &Value) -> Option<Suite> {
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let program = PathBuf::from(message["executable"].as_str()?);
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
    let (kind, target) = (message["target"]["kind"][0].as_str()?, message["target"]["name"].as_str()?);
    let name = format!("{} ({kind} {target})", message["package_id"].as_str()?.rsplit('/').next()?);
    Some(Suite { name, program, folder })
}

/// Runs one suite, shows what it prints, and counts. One that ends badly or hangs counts as failed, whatever it printed.
fn run_counted(mut command: Command) -> Result<Tally> {
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {command:?}"))?;
    let printed = child.stdout.take().context("a suite has no standard output")?;
    let (lines, incoming) = mpsc::channel();
    // Not joined: what a killed suite leaves may keep its output open.
    thread::spawn(move || BufReader::new(printed).split(b'\n').map_while(Result::ok).try_for_each(|line| lines.send(line)));
    let mut tally = Tally::default();
    loop {
        match incoming.recv_timeout(QUIET) {
            Ok(line) => {
                let line = String::from_utf8_lossy(&line);
                writeln!(stdout(), "{line}").context("cannot print")?;
                tally.add(result_in(&line).unwrap_or_default());
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                println!("the suite printed nothing for {QUIET:?}; killed. The test that hangs is the one without a result above");
                child.kill().context("cannot kill a suite that hangs")?;
                break;
            }
        }
    }
    let succeeded = child.wait().context("a suite was lost")?.success();
    if !succeeded && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

/// The counts in a line such as `test result: ok. 3 passed; 1 failed; 0 ignored; ...`.
fn result_in(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |word: &str| counts.split(';').find_map(|part| part.trim().strip_suffix(word)?.trim().parse().ok());
    Some(Tally { passed: count(" passed")?, failed: count(" failed")? })
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_from_what_suites_print() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
        assert_eq!(result_in(line), Some(Tally { passed: 12, failed: 3 }));
        assert_eq!(result_in("test a ... ok\n"), None);
    }
}
