//! `springtide scalers`: which triggers there are, and what each can be told.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use springtide_scalers::{KINDS, Kind};

use super::Output;

/// List the scalers, or show what one of them can be told.
#[derive(Args)]
#[command(after_help = "Example:\n  springtide scalers rabbitmq")]
pub struct Scalers {
    /// The type of a trigger.
    kind: Option<String>,
    /// Print JSON Schemas of the triggers' metadata instead.
    #[arg(long)]
    schema: bool,
    /// How to print.
    #[arg(short, long, default_value = "text")]
    output: Output,
}

impl Scalers {
    /// Prints what was asked for.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut out = std::io::stdout().lock();
        let kinds: Vec<&Kind> = match &self.kind {
            None => KINDS.to_vec(),
            Some(name) => match springtide_scalers::kind(name) {
                Some(kind) => vec![kind],
                None => bail!("there is no scaler `{name}`; `springtide scalers` lists all of them"),
            },
        };
        if self.schema {
            let schemas: serde_json::Map<String, serde_json::Value> =
                kinds.iter().map(|kind| (kind.name.to_owned(), kind.schema())).collect();
            // Of one kind, its own alone.
            let shown = if self.kind.is_some() { schemas.into_values().next().unwrap_or_default() } else { schemas.into() };
            serde_json::to_writer_pretty(&mut out, &shown).context("write to standard output")?;
            writeln!(out).context("write to standard output")?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.output == Output::Json {
            serde_json::to_writer_pretty(&mut out, &kinds).context("write to standard output")?;
            writeln!(out).context("write to standard output")?;
            return Ok(ExitCode::SUCCESS);
        }
        for kind in kinds {
            writeln!(out, "{}: {}", kind.name, kind.summary).context("write to standard output")?;
            for parameter in kind.all_parameters().filter(|_| self.kind.is_some()) {
                let default = parameter.default.map_or_else(String::new, |value| format!(" (default {value})"));
                let needed = if parameter.required { " (required)" } else { "" };
                writeln!(out, "  {:<28} {}{needed}{default}: {}", parameter.name, parameter.value, parameter.doc)
                    .context("write to standard output")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
