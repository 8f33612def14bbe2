//! `cargo xtask bench NAME`: a benchmark of `benches/`, as it would be released. Its last line has the figures.

use anyhow::Result;

use crate::shell::{cargo, succeeds};
use crate::{Outcome, setup};

/// Which one, and what it is told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A file or folder of `benches/`.
    name: String,
    /// Flags of the benchmark itself, such as `--quick`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    flags: Vec<String>,
}

/// Those that run on real parts.
const ON_PARTS: [&str; 2] = ["burst", "scalers"];

pub(crate) fn run(arguments: &Arguments) -> Result<Outcome> {
    if ON_PARTS.contains(&arguments.name.as_str()) {
        setup::run()?;
    }
    let mut command = cargo(&["bench", "--package", "springtide", "--bench", &arguments.name, "--"]);
    Ok(if succeeds(command.args(&arguments.flags))? { Outcome::Good } else { Outcome::Problems })
}
