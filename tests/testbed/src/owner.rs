//! Who owns a run: a process, told apart from a later one with the same number by the time at which it started.

use std::fs;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};

/// A process by number and start time (clock ticks since boot, field 22 of `/proc/PID/stat`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) pid: u32,
    started: u64,
}

impl Owner {
    /// This process.
    pub(crate) fn this_process() -> Result<Self> {
        Self::of(std::process::id()).context("cannot read /proc/self/stat; the testbed needs Linux with /proc mounted")
    }

    /// The process that has this number now, unless it is gone or only waits to be reaped.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The program's name is in parentheses and may hold spaces and parentheses itself.
        let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some(Self { pid, started })
    }

    /// Whether this very process still runs.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.pid, self.started)
    }
}

impl FromStr for Owner {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.trim().split_once('-').and_then(|(pid, rest)| {
            let started = rest.split('-').next()?;
            Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()? })
        });
        parsed.ok_or_else(|| anyhow!("{text:?} does not name a process as PID-START"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_its_number_with_another_start_is_not() {
        let me = Owner::this_process().unwrap();
        assert!(me.is_alive());
        assert!(!Owner { started: me.started + 1, ..me }.is_alive());
        assert_eq!(format!("{me}-3").parse::<Owner>().unwrap(), me);
    }
}
