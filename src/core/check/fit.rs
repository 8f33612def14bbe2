//! Whether pods fit on one node, their domains apart: by labels and taints, room, host ports and volumes. The same for a node that is there and for each
//! machine that a claim could become.

use std::collections::{BTreeMap, BTreeSet};

use super::places::called;
use crate::name::Name;
use crate::nodes::cluster::Cluster;
use crate::nodes::constraint::HostPort;
use crate::nodes::requirement::Requirements;
use crate::nodes::resources::Resources;
use crate::nodes::shape::{Shape, ShapeId};
use crate::nodes::storage::VolumeNeeds;
use crate::nodes::taint::{Taint, Toleration, in_the_way};

/// Pods that are meant for one place.
pub(super) struct Guests<'a> {
    /// What they ask of labels, and what they tolerate, each once.
    asking: BTreeSet<(&'a [Requirements], &'a [Toleration])>,
    requests: Resources,
    /// Ports that they want of the node, by number.
    ports: BTreeMap<u16, Vec<(&'a HostPort, ShapeId)>>,
    /// A port that two of them want.
    clash: Option<(&'a HostPort, ShapeId)>,
    /// Those with volumes, and what these ask of the node.
    volumes: Vec<(ShapeId, Result<VolumeNeeds, String>)>,
}

/// One node as the pods would find it.
pub(super) struct Seat<'a> {
    /// What it has for pods.
    pub(super) offered: &'a Resources,
    /// What is used already: it may be more than is offered without that being the pods' fault.
    pub(super) used: Resources,
    /// What will have to fit beside the pods.
    pub(super) needed: Resources,
    /// Its taints, without those that go.
    pub(super) taints: &'a [Taint],
    /// The label by which it does not answer a wish.
    pub(super) refuses: &'a dyn Fn(&Requirements) -> Option<Name>,
    /// Ports that are taken.
    pub(super) ports: Vec<&'a HostPort>,
    /// Its name and the volumes that it has, where it is known how many it can have.
    pub(super) attached: Option<(&'a Name, BTreeSet<(Name, Name)>)>,
}

impl<'a> Seat<'a> {
    /// A node on which nothing is yet.
    pub(super) fn of(offered: &'a Resources, taints: &'a [Taint], refuses: &'a dyn Fn(&Requirements) -> Option<Name>) -> Self {
        let nothing = Resources::default;
        Self { offered, used: nothing(), needed: nothing(), taints, refuses, ports: Vec::new(), attached: None }
    }
}

/// Why pods do not fit.
pub(super) enum Misfit {
    KeptOff(Name),
    Short(Name),
    Port { port: HostPort, shape: ShapeId },
    Volume { shape: ShapeId, why: String },
    Attached { driver: Name },
}

impl<'a> Guests<'a> {
    pub(super) fn of(cluster: &'a Cluster, pods: impl IntoIterator<Item = (&'a ShapeId, &'a u32)>) -> Self {
        let mut all =
            Self { asking: BTreeSet::new(), requests: Resources::default(), ports: BTreeMap::new(), clash: None, volumes: Vec::new() };
        for (id, count) in pods {
            let shape = cluster.shapes.get(*id);
            all.asking.insert((&shape.wishes, &shape.tolerations));
            all.requests.add(&shape.requests, *count);
            for port in &shape.ports {
                if *count > 1 || all.taken(port).is_some_and(|other| other != *id) {
                    all.clash.get_or_insert((port, *id));
                }
                all.ports.entry(port.port).or_default().push((port, *id));
            }
            if !shape.volumes.is_empty() {
                all.volumes.push((*id, cluster.storage.needs(&shape.volumes).map_err(|why| why.to_string())));
            }
        }
        all
    }

    /// The first thing that is wrong about these pods on this node.
    pub(super) fn misfit(&self, cluster: &Cluster, seat: &Seat<'_>) -> Option<Misfit> {
        let mut left = seat.offered.clone();
        left.take(&seat.used, 1);
        let mut want = self.requests.clone();
        want.add(&seat.needed, 1);
        let kept_off = || self.asking.iter().find_map(|(wishes, tolerations)| kept_off(wishes, tolerations, seat.taints, seat.refuses));
        kept_off()
            .map(Misfit::KeptOff)
            .or_else(|| lacking(&want, &left).map(Misfit::Short))
            .or_else(|| self.port_taken(&seat.ports))
            .or_else(|| self.volumes_elsewhere(seat.refuses))
            .or_else(|| self.too_many(cluster, seat.attached.as_ref()))
    }

    /// Who of them wants a port that cannot be had beside this one.
    fn taken(&self, port: &HostPort) -> Option<ShapeId> {
        self.ports.get(&port.port)?.iter().find(|(other, _)| other.clashes_with(port)).map(|(_, shape)| *shape)
    }

    fn port_taken(&self, others: &[&HostPort]) -> Option<Misfit> {
        let beside = || others.iter().find_map(|port| Some((*port, self.taken(port)?)));
        let (port, shape) = self.clash.or_else(beside)?;
        Some(Misfit::Port { port: port.clone(), shape })
    }

    fn volumes_elsewhere(&self, refuses: &dyn Fn(&Requirements) -> Option<Name>) -> Option<Misfit> {
        self.volumes.iter().find_map(|(shape, needs)| {
            let why = match needs {
                Err(why) => why.clone(),
                Ok(needs) => {
                    let refusals: Option<Vec<Name>> = needs.reach.iter().map(refuses).collect();
                    let label = refusals?.into_iter().next()?;
                    format!("the label {label} is another where they are")
                }
            };
            Some(Misfit::Volume { shape: *shape, why })
        })
    }

    fn too_many(&self, cluster: &Cluster, attached: Option<&(&Name, BTreeSet<(Name, Name)>)>) -> Option<Misfit> {
        let (node, has) = attached?;
        // What is attached already costs nothing more.
        let all = self.volumes.iter().filter_map(|(_, needs)| needs.as_ref().ok()).flat_map(|needs| &needs.attached);
        let new: BTreeSet<(Name, Name)> = all.filter(|volume| !has.contains(*volume)).cloned().collect();
        let drivers: BTreeSet<&Name> = new.iter().map(|(driver, _)| driver).collect();
        let full = drivers.into_iter().find(|driver| {
            let of_it = new.iter().filter(|(of, _)| of == *driver).cloned().collect();
            !cluster.storage.holds(node, has, &of_it)
        });
        full.map(|driver| Misfit::Attached { driver: driver.clone() })
    }
}

impl Misfit {
    /// What is wrong where it does not matter which machine it is.
    pub(super) fn on(self, cluster: &Cluster, on: &Name) -> super::Wrong {
        use super::Wrong;
        let on = on.clone();
        match self {
            Self::KeptOff(label_or_taint) => Wrong::NotLetIn { on, label_or_taint },
            Self::Short(resource) => Wrong::Overfull { on, resource },
            Self::Port { port, shape } => Wrong::PortTaken { on, port, pod: called(cluster, shape, &[]) },
            Self::Volume { shape, why } => Wrong::VolumesElsewhere { on, pod: called(cluster, shape, &[]), why },
            Self::Attached { driver } => Wrong::TooManyVolumes { on, driver },
        }
    }
}

/// The taint or label that keeps a pod with these tolerations off a node, one of these wishes being enough.
fn kept_off(
    wishes: &[Requirements],
    tolerations: &[Toleration],
    taints: &[Taint],
    refuses: &dyn Fn(&Requirements) -> Option<Name>,
) -> Option<Name> {
    if let Some(taint) = in_the_way(taints, tolerations) {
        return Some(taint.key.clone());
    }
    let refusals: Option<Vec<Name>> = wishes.iter().map(refuses).collect();
    refusals.map(|labels| labels.into_iter().next().unwrap_or_else(|| "any label".into()))
}

/// DaemonSets whose pods will be on such a node.
pub(super) fn daemons<'a, 'b>(
    cluster: &'a Cluster,
    taints: &'b [Taint],
    refuses: &'b dyn Fn(&Requirements) -> Option<Name>,
) -> impl Iterator<Item = &'a Shape> + use<'a, 'b> {
    let shapes = cluster.daemons.values().map(|id| &**cluster.shapes.get(*id)).filter(|daemon| daemon.beyond.is_empty());
    shapes.filter(move |daemon| kept_off(&daemon.wishes, &daemon.tolerations, taints, refuses).is_none())
}

/// The first resource of which `have` is not enough.
pub(super) fn lacking(want: &Resources, have: &Resources) -> Option<Name> {
    let short = |name: &&str| want.get(name) > have.get(name).max(0);
    let plain = ["cpu", "memory", "ephemeral-storage", "pods"].iter().find(|name| short(name)).map(|name| Name::from(*name));
    plain.or_else(|| want.extended.keys().find(|name| short(&name.as_str())).cloned())
}
