//! Inputs that Karpenter planned too, with its results: read from the folder that `SPRINGTIDE_PEER_DATA` names, where it is set.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use springtide_clouds::catalog;

use crate::case::Bound;
use crate::world::{Pods, World};

/// One recording, of `plan/karpenter.json`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Recording {
    pub(crate) dataset: String,
    types: String,
    karpenter: String,
    preferences: String,
    pub(crate) solve_seconds: Seconds,
    pub(crate) nodes: usize,
    pub(crate) price_per_hour: f64,
    pub(crate) bound: Option<RecordedBound>,
}

/// Of several runs.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Seconds {
    pub(crate) median: f64,
}

/// A bound that another program has found.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RecordedBound {
    /// Whatever zones are bought in; node prices only.
    pub(crate) any_zone: f64,
    /// The best price that program came to.
    pub(crate) achieved: f64,
}

/// The folder, where there is one.
pub(crate) fn folder() -> Option<PathBuf> {
    std::env::var_os("SPRINGTIDE_PEER_DATA").map(|folder| PathBuf::from(folder).join("plan")).filter(|folder| folder.is_dir())
}

/// All recordings.
pub(crate) fn recordings(folder: &Path) -> Result<Vec<Recording>> {
    serde_json::from_slice(&read(&folder.join("karpenter.json"))?).context("karpenter.json is not understood")
}

impl Recording {
    /// What was planned for.
    pub(crate) fn world(&self, folder: &Path) -> Result<World> {
        let list: Value = serde_json::from_slice(&read(&folder.join(format!("{}.json.gz", self.dataset)))?)?;
        let (mut pool, mut pods) = (None, Vec::new());
        for item in list["items"].as_array().into_iter().flatten() {
            match item["kind"].as_str() {
                Some("Pod") => pods.push(serde_json::from_value(item.clone())?),
                Some("NodePool") => pool = Some(serde_json::from_value(item.clone())?),
                other => anyhow::bail!("{other:?} is not expected in {}", self.dataset),
            }
        }
        let types = catalog::parse(&read(&folder.join(format!("{}.gz", self.types)))?, &catalog::kwok_overhead())?;
        let mut world = World::new(pool.context("no NodePool")?, types, Vec::new());
        world.pods = Pods::Given(pods);
        Ok(world)
    }

    /// By which bound it is measured.
    pub(crate) fn bound(&self) -> Bound {
        if self.dataset.starts_with("queue-") { Bound::Columns } else { Bound::Assignment }
    }

    /// Whether the rows of numbers say all that its pods must have.
    pub(crate) fn plain(&self) -> bool {
        !self.dataset.starts_with("diverse-")
    }

    pub(crate) fn peer(&self) -> String {
        let Self { karpenter, preferences, nodes, price_per_hour, solve_seconds, .. } = self;
        format!(
            "Karpenter {karpenter} ({preferences} preferences, one worker): {:.2} s, {nodes} nodes, {price_per_hour:.4} $/h",
            solve_seconds.median
        )
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let packed = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    if path.extension().is_none_or(|extension| extension != "gz") {
        return Ok(packed);
    }
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut text).with_context(|| format!("unpack {}", path.display()))?;
    Ok(text)
}
