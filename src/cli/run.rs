//! `springtide run`: the daemon.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use crate::settings::{self, Settings};

/// Run the daemon in or beside a cluster.
#[derive(Args)]
#[command(after_help = "Example:\n  springtide run --kubeconfig ~/.kube/config --shadow --log-format text")]
pub struct Run {
    #[command(flatten)]
    settings: Settings,
}

impl Run {
    /// Runs until it is told to stop.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(2, 4);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().context("start the runtime")?;
        runtime.block_on(crate::daemon::run(settings::checked(self.settings)?))?;
        Ok(ExitCode::SUCCESS)
    }
}
