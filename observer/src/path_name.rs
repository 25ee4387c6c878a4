//! A path's identity in serialised form.

use std::net::IpAddr;

use observer_common::kind::{Class, Direction};
use serde::{Deserialize, Serialize};

use crate::snapshot::{PathId, Vni};

/// A [`PathId`] with numbers for its enumerations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathName {
    device: String,
    egress: bool,
    class: u8,
    vni: Option<u32>,
    unknown: bool,
    peer: IpAddr,
}

impl From<&PathId> for PathName {
    fn from(id: &PathId) -> Self {
        Self {
            device: id.device.to_string(),
            egress: id.direction == Direction::Egress,
            class: id.class as u8,
            vni: match id.vni {
                Vni::Own(vni) => Some(vni),
                Vni::None | Vni::Unknown => None,
            },
            unknown: id.vni == Vni::Unknown,
            peer: id.peer,
        }
    }
}

impl PathName {
    /// The identity; `None` if this version does not have the class.
    #[must_use]
    pub fn id(&self) -> Option<PathId> {
        Some(PathId {
            device: self.device.as_str().into(),
            direction: if self.egress { Direction::Egress } else { Direction::Ingress },
            class: Class::from_index(self.class)?,
            vni: match (self.vni, self.unknown) {
                (_, true) => Vni::Unknown,
                (Some(vni), false) => Vni::Own(vni),
                (None, false) => Vni::None,
            },
            peer: self.peer,
            local: None,
        })
    }
}
