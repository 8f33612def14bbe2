//! Commands. Exit codes: 0 done, 1 done and problems found, 2 could not (with what, where and what to do on standard error).

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

mod check;
mod crds;
mod demo;
#[cfg(feature = "cluster")]
mod health;
mod plan;
#[cfg(feature = "cluster")]
mod run;
mod scalers;

/// One daemon that turns queue depth into replicas, and replicas into the cheapest nodes that will run them.
#[derive(Parser)]
#[command(name = "springtide", version, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[cfg(feature = "cluster")]
    Run(Box<run::Run>),
    Check(check::Check),
    Plan(plan::Plan),
    Demo(demo::Demo),
    Crds(crds::Crds),
    #[cfg(feature = "cluster")]
    Health(health::Health),
    Scalers(scalers::Scalers),
}

/// How a command prints data.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Parses and runs.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        #[cfg(feature = "cluster")]
        Command::Run(run) => run.run(),
        Command::Check(check) => check.run(),
        Command::Plan(plan) => plan.run(),
        Command::Demo(demo) => demo.run(),
        Command::Crds(crds) => crds.run(),
        #[cfg(feature = "cluster")]
        Command::Health(health) => health.run(),
        Command::Scalers(scalers) => scalers.run(),
    };
    match done {
        Ok(code) => code,
        // Whoever read the output has seen enough, as with `head`.
        Err(error) if error.chain().any(is_broken_pipe) => ExitCode::SUCCESS,
        Err(error) => {
            // The whole chain: each link says what was being done.
            eprintln!("springtide: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    let json = error.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
    io.or(json) == Some(std::io::ErrorKind::BrokenPipe)
}
