//! Records become expectations to create, and expectations become records. Flows: [`super::convert`].

use std::time::Duration;

use ctnetlink::{Direction, Expectation, ExpectationFlags, ExpectationNat, Tuple};

use super::{
    convert::{Key, TupleAttributes, is_carried},
    record::{Bytes, ExpectationRecord},
};

/// The identity of an expectation between the two peers. conntrackd compares all three tuples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "the protocol cannot be extended")]
pub struct ExpectationKey {
    /// The original tuple of the flow whose helper expects another.
    pub master: Tuple,
    /// The expected tuple.
    pub expected: Tuple,
    /// The bits of the expected tuple that count.
    pub mask: Tuple,
}

impl ExpectationKey {
    /// Returns the key of an expectation, or `None` if the protocol cannot carry it: it has no zone and no GRE keys.
    #[must_use]
    pub fn of(expectation: &Expectation) -> Option<Self> {
        let Expectation { master, tuple: expected, mask, zone, .. } = *expectation;
        let is_carried = zone.is_none_or(|zone| zone == 0) && [master, expected, mask].iter().all(is_carried);
        is_carried.then_some(Self { master, expected, mask })
    }
}

/// The flow or the expectation that a message is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "the protocol cannot be extended")]
pub enum Subject {
    /// A flow.
    Flow(Key),
    /// An expectation. Boxed, because its key is four times as large and flows are many.
    Expectation(Box<ExpectationKey>),
}

impl From<Key> for Subject {
    fn from(key: Key) -> Self {
        Self::Flow(key)
    }
}

impl From<ExpectationKey> for Subject {
    fn from(key: ExpectationKey) -> Self {
        Self::Expectation(Box::new(key))
    }
}

impl ExpectationRecord {
    /// Returns the record of an expectation, or `None` if the protocol cannot carry it. It has no IPv6 translation either.
    #[must_use]
    pub fn new(expectation: &Expectation) -> Option<Self> {
        let Expectation { timeout, flags, class, helper, function, nat, .. } = expectation;
        let mut record = Self {
            timeout: *timeout,
            flags: Some(flags.unwrap_or_default().bits()),
            class: *class,
            helper: helper.as_deref().and_then(Bytes::from_text),
            function: function.as_deref().and_then(Bytes::from_text),
            ..Self::of_key(&ExpectationKey::of(expectation)?)
        };
        if let Some(ExpectationNat { direction, tuple }) = nat {
            let nat = TupleAttributes::new(tuple);
            record.nat_ipv4 = Some(nat.ipv4?);
            (record.nat_protocol, record.nat_ports) = (nat.protocol, nat.ports);
            record.nat_direction = Some(u32::from(*direction == Direction::Reply));
        }
        Some(record)
    }

    /// Returns a record that names an expectation and says nothing else of it, for its deletion.
    ///
    /// conntrackd 1.4.7 sends everything that it knew of the expectation, and needs no more than the three tuples of what
    /// it receives. Fewer are dangerous: without the expected tuple, a conntrackd that injects deletes other expectations.
    #[must_use]
    pub fn of_key(key: &ExpectationKey) -> Self {
        let [master, expected, mask] = [key.master, key.expected, key.mask].map(|tuple| TupleAttributes::new(&tuple));
        Self {
            master_ipv4: master.ipv4,
            master_ipv6: master.ipv6,
            master_protocol: master.protocol,
            master_ports: master.ports,
            expected_ipv4: expected.ipv4,
            expected_ipv6: expected.ipv6,
            expected_protocol: expected.protocol,
            expected_ports: expected.ports,
            mask_ipv4: mask.ipv4,
            mask_ipv6: mask.ipv6,
            mask_protocol: mask.protocol,
            mask_ports: mask.ports,
            flags: Some(0),
            ..Self::default()
        }
    }

    /// Returns the identity of the expectation. `None` if a tuple is missing or ambiguous, the families differ, or the
    /// flags are unknown, which a kernel refuses.
    #[must_use]
    pub fn key(&self) -> Option<ExpectationKey> {
        let tuple = |ipv4, ipv6, protocol, ports| TupleAttributes { ipv4, ipv6, protocol, ports }.tuple();
        let master = tuple(self.master_ipv4, self.master_ipv6, self.master_protocol, self.master_ports)?;
        let expected = tuple(self.expected_ipv4, self.expected_ipv6, self.expected_protocol, self.expected_ports)?;
        let mask = tuple(self.mask_ipv4, self.mask_ipv6, self.mask_protocol, self.mask_ports)?;
        let family = master.family();
        let is_usable = expected.family() == family && mask.family() == family && self.flags.unwrap_or(0) & !KNOWN == 0;
        is_usable.then_some(ExpectationKey { master, expected, mask })
    }

    /// Returns the expectation as it is created in the kernel. `None` if [`key`](Self::key) is.
    #[must_use]
    pub fn to_expectation(&self) -> Option<Expectation> {
        let ExpectationKey { master, expected, mask } = self.key()?;
        let mut expectation = Expectation::new(master, expected, mask);
        expectation.timeout = self.timeout;
        expectation.flags = self.flags.map(ExpectationFlags::from_bits_retain);
        expectation.class = self.class;
        expectation.helper = self.helper.as_ref().and_then(Bytes::text).map(Into::into);
        expectation.function = self.function.as_ref().and_then(Bytes::text).map(Into::into);
        let nat =
            TupleAttributes { ipv4: self.nat_ipv4, ipv6: None, protocol: self.nat_protocol, ports: self.nat_ports };
        expectation.nat = nat.tuple().map(|tuple| ExpectationNat {
            direction: if self.nat_direction == Some(1) { Direction::Reply } else { Direction::Original },
            tuple,
        });
        Some(expectation)
    }

    /// Returns whether the expectation has ended, `age` after the record arrived, although the peer did not say so: it may
    /// have gone away, or its message was lost. A connection through an expectation that has ended must not be let in.
    ///
    /// Permanent expectations are excepted: the SIP helper renews them without an event, of which a conntrackd never hears.
    #[must_use]
    pub fn has_ended(&self, age: Duration) -> bool {
        let is_permanent = self.flags.unwrap_or(0) & ExpectationFlags::PERMANENT.bits() != 0;
        !is_permanent && self.timeout.is_some_and(|timeout| age.as_secs() >= timeout.into())
    }
}

/// The flags that kernels know.
const KNOWN: u32 =
    ExpectationFlags::PERMANENT.bits() | ExpectationFlags::INACTIVE.bits() | ExpectationFlags::USERSPACE.bits();

#[cfg(test)]
mod tests {
    use super::*;

    fn expectation() -> Expectation {
        let master = Tuple::tcp("10.0.0.1:1000".parse().unwrap(), "192.0.2.2:21".parse().unwrap());
        let expected = Tuple::tcp("192.0.2.2:0".parse().unwrap(), "10.0.0.1:5000".parse().unwrap());
        let mask = Tuple::tcp("255.255.255.255:0".parse().unwrap(), "255.255.255.255:65535".parse().unwrap());
        let mut expectation = Expectation::new(master, expected, mask);
        expectation.timeout = Some(300);
        expectation.flags = Some(ExpectationFlags::empty());
        expectation
    }

    fn sent(expectation: &Expectation) -> ExpectationRecord {
        ExpectationRecord::decode(&ExpectationRecord::new(expectation).unwrap().encode()).unwrap()
    }

    #[test]
    fn expectation_crosses_the_wire_with_its_translation() {
        let mut expectation = expectation();
        expectation.flags = Some(ExpectationFlags::PERMANENT);
        expectation.class = Some(1);
        expectation.helper = Some("ftp".into());
        expectation.function = Some("nat-follow-master".into());
        expectation.nat = Some(ExpectationNat { direction: Direction::Reply, tuple: expectation.tuple });
        assert_eq!(sent(&expectation).to_expectation(), Some(expectation.clone()));
        expectation.zone = Some(1);
        assert_eq!(ExpectationRecord::new(&expectation), None);
    }

    #[test]
    fn deletion_names_all_three_tuples() {
        let key = ExpectationKey::of(&expectation()).unwrap();
        let record = ExpectationRecord::decode(&ExpectationRecord::of_key(&key).encode()).unwrap();
        assert_eq!((record.key(), record.timeout), (Some(key), None));
    }

    #[test]
    fn expectations_that_a_kernel_would_refuse_have_no_key() {
        let record = sent(&expectation());
        assert!(record.key().is_some());
        assert_eq!(ExpectationRecord { flags: Some(8), ..record.clone() }.key(), None);
        assert_eq!(ExpectationRecord { expected_ports: None, ..record.clone() }.key(), None);
        let other_family = Some(["::1".parse().unwrap(), "::2".parse().unwrap()]);
        assert_eq!(ExpectationRecord { mask_ipv4: None, mask_ipv6: other_family, ..record }.key(), None);
    }

    #[test]
    fn expectation_ends_with_its_timeout_unless_it_is_permanent() {
        let mut expectation = expectation();
        let has_ended = |expectation: &Expectation, age| sent(expectation).has_ended(Duration::from_secs(age));
        assert!(!has_ended(&expectation, 299) && has_ended(&expectation, 300));
        expectation.flags = Some(ExpectationFlags::PERMANENT);
        assert!(!has_ended(&expectation, 3000));
        (expectation.flags, expectation.timeout) = (None, None);
        assert!(!has_ended(&expectation, 3000));
    }
}
