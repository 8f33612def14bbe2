//! What a process costs, as the kernel counts it.

use anyhow::{Context, Result};

/// This process now.
pub(crate) struct Process {
    pub(crate) rss_mib: f64,
    pub(crate) threads: u64,
}

impl Process {
    pub(crate) fn now() -> Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
        let number = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name} in it"))?;
            Ok(line.split_whitespace().next().context("no number")?.parse()?)
        };
        Ok(Self { rss_mib: f64::from(u32::try_from(number("VmRSS:")?)?) / 1024.0, threads: number("Threads:")? })
    }
}
