//! The project's own commands. `cargo xtask --help` lists them; each is a file here.
//!
//! It depends on none of the workspace's crates, so that it starts in seconds on a fresh clone and runs while they do not compile.

mod bench;
mod check;
mod fuzz;
mod generate;
mod picture;
mod setup;
mod shell;
mod test;
mod testbed;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install and build what tests need and this machine lacks
    Setup,
    /// Start, stop and list control planes with RabbitMQ, to try something by hand
    Testbed(testbed::Arguments),
    /// Run every suite; the last line says how many passed and failed
    Test,
    /// Run a benchmark; its last line has the figures
    Bench(bench::Arguments),
    /// Plan for manifests that nobody wrote, until something is found or the time is over
    Fuzz(fuzz::Arguments),
    /// Write the generated files anew: CRDs, what `springtide check` says of broken manifests, and what `springtide plan` plans for small scenes
    Gen,
    /// Take the README's picture of the page from a running demo
    Picture(picture::Arguments),
    /// Look at the code without running it: format, lints, dependencies
    Check,
}

/// What a command found. An error is another thing: it could not do its work.
enum Outcome {
    Good,
    Problems,
}

fn main() -> ExitCode {
    match run() {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Problems) => ExitCode::from(1),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<Outcome> {
    match Arguments::parse().command {
        Command::Setup => setup::run(),
        Command::Testbed(arguments) => testbed::run(&arguments),
        Command::Test => test::run(),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Gen => generate::run(),
        Command::Picture(arguments) => picture::run(&arguments),
        Command::Check => check::run(),
    }
}
