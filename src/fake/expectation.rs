//! The table of expectations.
//!
//! Follows `nf_conntrack_expect.c` and the second half of `nf_conntrack_netlink.c` in `net/netfilter`.

use core::{net::IpAddr, time::Duration};
use std::collections::BTreeMap;

use super::{
    flow::{EncodingContext, FlowEntry, RawTuple, masked},
    release::{KnownHelper, Release},
};
use crate::{
    error::Errno,
    model::{Direction, Expectation, ExpectationFlags, ExpectationNat, Family},
    wire::Encoder,
};

/// An entry of the table of expectations (`struct nf_conntrack_expect`).
#[derive(Clone, Debug)]
pub(super) struct ExpectationEntry {
    /// The slot of the flow that expects this one.
    pub(super) master: u32,
    master_tuple: RawTuple,
    /// The number of the master's zone, whichever directions it is for.
    zone: u16,
    pub(super) tuple: RawTuple,
    /// Only the source of the mask matters.
    mask: RawTuple,
    flags: u32,
    pub(super) class: u32,
    pub(super) helper: Option<&'static KnownHelper>,
    /// The direction, and the address and port to restore.
    nat: Option<(Direction, RawTuple)>,
    function: Option<&'static str>,
    expires: Duration,
    pub(super) id: u32,
    /// Whether the master sends events: if not, its expectations send none either.
    pub(super) has_events: bool,
}

/// The functions that exist if no NAT helper is loaded.
const FUNCTIONS: &[&str] = &["nat-follow-master"];

/// All expectations, the oldest first.
#[derive(Debug, Default)]
pub(super) struct ExpectationTable {
    entries: BTreeMap<u64, ExpectationEntry>,
    serial: u64,
}

impl ExpectationTable {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, serial: u64) -> Option<&ExpectationEntry> {
        self.entries.get(&serial)
    }

    pub(super) fn after(&self, serial: u64) -> impl Iterator<Item = (u64, &ExpectationEntry)> {
        self.entries.range(serial.saturating_add(1)..).map(|(serial, entry)| (*serial, entry))
    }

    /// Finds the expectation that a packet of this tuple would match. The kernel looks requests up the same way.
    pub(super) fn find(&self, zone: u16, tuple: &RawTuple) -> Option<u64> {
        let found =
            self.entries.iter().rev().find(|(_, entry)| entry.zone == zone && entry.tuple.matches(tuple, &entry.mask));
        found.map(|(serial, _)| *serial)
    }

    /// Checks whether an expectation can be added. Returns the serial number of the expectation that it replaces.
    pub(super) fn check(&self, new: &ExpectationEntry, limit: usize) -> Result<Option<u64>, Errno> {
        let is_same = |entry: &ExpectationEntry| {
            entry.zone == new.zone
                && entry.tuple == new.tuple
                && entry.mask.source == new.mask.source
                && entry.mask.source_part == new.mask.source_part
        };
        for (serial, entry) in self.entries.iter().rev() {
            if is_same(entry) {
                let is_refused = entry.class != new.class || entry.master != new.master;
                return if is_refused { Err(Errno::EALREADY) } else { Ok(Some(*serial)) };
            }
            if entry.zone == new.zone && entry.tuple.matches(&new.tuple, &entry.common_mask(new)) {
                return Err(Errno::EBUSY);
            }
        }
        let of_class = |entry: &&ExpectationEntry| entry.master == new.master && entry.class == new.class;
        let most = new.helper.and_then(|helper| helper.classes.get(new.class as usize));
        let count = self.entries.values().filter(of_class).count();
        if most.is_some_and(|most| count >= *most) {
            return Ok(self.entries.iter().find(|(_, entry)| of_class(entry)).map(|(serial, _)| *serial));
        }
        if self.len() >= limit { Err(Errno::EMFILE) } else { Ok(None) }
    }

    pub(super) fn insert(&mut self, mut entry: ExpectationEntry) -> &ExpectationEntry {
        self.serial += 1;
        entry.id = (self.serial as u32).wrapping_mul(0x9e37_79b1).max(1);
        self.entries.entry(self.serial).or_insert(entry)
    }

    pub(super) fn remove(&mut self, serial: u64) -> Option<ExpectationEntry> {
        self.entries.remove(&serial)
    }

    pub(super) fn set_timeout(&mut self, serial: u64, expires: Duration) {
        if let Some(entry) = self.entries.get_mut(&serial) {
            entry.expires = expires;
        }
    }

    /// Returns the serial numbers of the selected expectations.
    pub(super) fn select(&self, predicate: impl Fn(&ExpectationEntry) -> bool) -> Vec<u64> {
        self.entries.iter().filter(|(_, entry)| predicate(entry)).map(|(serial, _)| *serial).collect()
    }
}

impl ExpectationEntry {
    /// Reads the expectation of a request.
    pub(super) fn new(
        request: &Expectation,
        [tuple, mask]: [RawTuple; 2],
        master: &FlowEntry,
        present: &EncodingContext,
    ) -> Result<Self, Errno> {
        let release = present.release;
        let Some(of_master) = master.helper else { return Err(Errno::EOPNOTSUPP) };
        let helper = match &request.helper {
            Some(name) if release < Release::RANGE_CHECKS => {
                let found = KnownHelper::find(name, master.family(), master.original.protocol);
                Some(found.ok_or(Errno::EOPNOTSUPP)?)
            }
            _ if release >= Release::RANGE_CHECKS => Some(of_master.ok_or(Errno::EOPNOTSUPP)?),
            _ => None,
        };
        let class = match (request.class, helper) {
            (Some(class), Some(helper)) if class as usize >= helper.classes.len() => return Err(Errno::EINVAL),
            (Some(class), Some(_)) => class,
            _ => 0,
        };
        let function = match &request.function {
            None => None,
            Some(name) => Some(*FUNCTIONS.iter().find(|known| *known == &&**name).ok_or(Errno::EINVAL)?),
        };
        let nat = match request.nat {
            None => None,
            Some(ExpectationNat { direction, tuple }) => {
                Some((direction, RawTuple::of_family(&tuple, master.family(), release)?))
            }
        };
        let timeout = of_master.map_or(Duration::ZERO, |helper| helper.timeout);
        Ok(Self {
            master: master.slot,
            master_tuple: master.original,
            zone: master.zone.id,
            tuple,
            mask,
            flags: (request.flags.unwrap_or_default() - ExpectationFlags::USERSPACE).bits(),
            class,
            helper: of_master,
            nat,
            function,
            expires: present.now.saturating_add(timeout),
            id: 0,
            has_events: master.has_events,
        })
    }

    pub(super) fn family(&self) -> Family {
        self.tuple.family()
    }

    pub(super) fn is_expired(&self, now: Duration) -> bool {
        self.expires <= now
    }

    pub(super) const fn is_permanent(&self) -> bool {
        self.flags & ExpectationFlags::PERMANENT.bits() != 0
    }

    pub(super) const fn is_inactive(&self) -> bool {
        self.flags & ExpectationFlags::INACTIVE.bits() != 0
    }

    /// The intersection of both masks.
    fn common_mask(&self, other: &Self) -> RawTuple {
        RawTuple {
            source: masked(self.mask.source, other.mask.source),
            source_part: self.mask.source_part & other.mask.source_part,
            ..self.mask
        }
    }

    /// Encodes the expectation for replies and events.
    pub(super) fn encode(&self, present: &EncodingContext, encoder: &mut Encoder<'_>) {
        let release = present.release;
        let all_ones = |address: IpAddr| match address {
            IpAddr::V4(_) => IpAddr::from([0xff; 4]),
            IpAddr::V6(_) => IpAddr::from([0xff; 16]),
        };
        let mask = RawTuple {
            source: self.mask.source,
            destination: all_ones(self.tuple.destination),
            protocol: self.tuple.protocol,
            source_part: self.mask.source_part,
            destination_part: u16::MAX,
        };
        let mut written =
            Expectation::new(self.master_tuple.to_tuple(release), self.tuple.to_tuple(release), mask.to_tuple(release));
        written.nat =
            self.nat.and_then(|(direction, saved)| saved_address(direction, saved, self.master_tuple, release));
        written.timeout = Some(self.expires.saturating_sub(present.now).as_secs().try_into().unwrap_or(u32::MAX));
        written.id = Some(self.id);
        written.flags = Some(ExpectationFlags::from_bits_retain(self.flags));
        written.class = Some(self.class);
        written.helper = self.helper.map(|helper| helper.name.into());
        written.function = self.function.map(Into::into);
        written.encode(encoder);
    }
}

/// The address and port to restore. The kernel keeps only the source, and sends nothing if both are zero.
fn saved_address(direction: Direction, saved: RawTuple, master: RawTuple, release: Release) -> Option<ExpectationNat> {
    if saved.source.is_unspecified() && saved.source_part == 0 {
        return None;
    }
    let unspecified = match saved.source {
        IpAddr::V4(_) => IpAddr::from([0; 4]),
        IpAddr::V6(_) => IpAddr::from([0; 16]),
    };
    let tuple = RawTuple { destination: unspecified, destination_part: 0, protocol: master.protocol, ..saved };
    Some(ExpectationNat { direction, tuple: tuple.to_tuple(release) })
}
