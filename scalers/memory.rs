//! Memory, which is measured as CPU is.

use crate::cpu::{self, Measured};
use crate::kind::Kind;

pub(crate) static KIND: Kind = Kind {
    name: "memory",
    summary: "How much memory the target's pods use, beside what they request or in all; read and judged, and not measured yet",
    read: |fields| cpu::read(fields, Measured::Memory),
    ..cpu::KIND
};
