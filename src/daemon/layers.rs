//! In which layers the daemon writes, and why not where it does not.

use std::collections::BTreeMap;
use std::fmt;

use tokio::sync::watch;

use crate::kube::rivals::Rivals;
use crate::kube::watch::Custom;
use crate::settings::{Layer, Settings};

/// Why a layer decides and writes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shadow {
    NotRun,
    BySetting,
    Rival { lease: String },
}

impl fmt::Display for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRun => f.write_str("not among --layers"),
            Self::BySetting => f.write_str("--shadow"),
            Self::Rival { lease } => write!(f, "another controller renews its Lease {lease}"),
        }
    }
}

/// The layers, and who else is at work in them.
pub struct Layers {
    run: Vec<Layer>,
    shadow: bool,
    rivals: watch::Receiver<Option<Rivals>>,
    told: BTreeMap<Layer, Shadow>,
}

impl Layers {
    /// As the settings say.
    #[must_use]
    pub fn new(settings: &Settings, rivals: watch::Receiver<Option<Rivals>>) -> Self {
        Self { run: settings.layers.clone(), shadow: settings.shadow, rivals, told: BTreeMap::new() }
    }

    /// Whether it is known who else is at work.
    #[must_use]
    pub fn are_known(&self) -> bool {
        self.rivals.borrow().is_some()
    }

    /// Whether this layer is run at all.
    #[must_use]
    pub fn runs(&self, layer: Layer) -> bool {
        self.run.contains(&layer)
    }

    /// The custom resources by which these layers are told what to do. Those of another layer need not exist.
    #[must_use]
    pub fn kinds(&self) -> Vec<Custom> {
        let of = |layer: Layer, kinds: &'static [Custom]| kinds.iter().copied().filter(move |_| self.runs(layer));
        of(Layer::Workloads, Custom::WORKLOADS).chain(of(Layer::Nodes, Custom::NODES)).collect()
    }

    /// Whether this layer writes: it is ours to run, nobody else is at work in it, and it is not in shadow mode. Says so in the log when that changes.
    pub fn may_write(&mut self, layer: Layer) -> bool {
        let rivals = self.rivals.borrow().clone().unwrap_or_default();
        let rival = match layer {
            Layer::Workloads => rivals.keda,
            Layer::Nodes => rivals.karpenter,
        };
        let why = match rival {
            _ if !self.runs(layer) => Some(Shadow::NotRun),
            _ if self.shadow => Some(Shadow::BySetting),
            Some(lease) => Some(Shadow::Rival { lease }),
            None => None,
        };
        let Some(why) = why else {
            self.told.remove(&layer);
            return true;
        };
        if self.told.get(&layer) != Some(&why) {
            tracing::info!(%layer, reason = %why, "this layer is in shadow mode: it decides and writes nothing");
            self.told.insert(layer, why);
        }
        false
    }
}
