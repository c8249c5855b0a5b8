//! A decoder of IPFIX messages (RFC 7011), written without the encoder in mind.

use std::collections::BTreeMap;

/// Enterprise and element.
pub type Element = (u32, u16);
/// The values of a record as big-endian numbers. Addresses are numbers too.
pub type Values = BTreeMap<Element, u128>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub template: u16,
    pub values: Values,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub fields: Vec<(Element, usize)>,
    pub scopes: usize,
}

/// A collector: remembers templates, checks sequence numbers.
#[derive(Debug, Default)]
pub struct Decoder {
    pub templates: BTreeMap<u16, Layout>,
    /// The sequence number that the next message must have.
    pub next_sequence: Option<u32>,
    pub records: Vec<Record>,
    pub template_messages: usize,
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(length);
        self.0 = tail;
        head
    }

    fn number(&mut self, length: usize) -> u128 {
        assert!(length <= 16);
        self.bytes(length).iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
    }

    fn u16(&mut self) -> u16 {
        self.number(2) as u16
    }
}

impl Decoder {
    /// Decodes a message and panics if it breaks a rule.
    pub fn message(&mut self, message: &[u8]) {
        let mut input = Input(message);
        assert_eq!(input.u16(), 10, "version");
        assert_eq!(usize::from(input.u16()), message.len(), "length");
        let _export_time = input.number(4);
        let sequence = input.number(4) as u32;
        let _domain = input.number(4);
        if let Some(expected) = self.next_sequence {
            assert_eq!(sequence, expected, "sequence number");
        }
        let (before, mut has_templates) = (self.records.len(), false);
        assert!(!input.0.is_empty(), "a message without sets");
        while !input.0.is_empty() {
            let (id, length) = (input.u16(), usize::from(input.u16()));
            let set = Input(input.bytes(length - 4));
            assert!(!set.0.is_empty(), "a set without records");
            match id {
                2 | 3 => {
                    self.template_set(id == 3, set);
                    has_templates = true;
                }
                256.. => self.data_set(id, set),
                _ => panic!("set {id} is reserved"),
            }
        }
        self.template_messages += usize::from(has_templates);
        self.next_sequence = Some(sequence.wrapping_add((self.records.len() - before) as u32));
    }

    fn template_set(&mut self, is_options: bool, mut set: Input<'_>) {
        while !set.0.is_empty() {
            let (id, count) = (set.u16(), set.u16());
            assert!(id >= 256 && count > 0, "withdrawal of template {id}");
            let scopes = if is_options { usize::from(set.u16()) } else { 0 };
            assert_eq!(scopes > 0, is_options);
            let field = |_| {
                let (element, length) = (set.u16(), usize::from(set.u16()));
                let enterprise = if element & 0x8000 == 0 { 0 } else { set.number(4) as u32 };
                assert_ne!(length, 0xffff, "variable length");
                ((enterprise, element & 0x7fff), length)
            };
            let layout = Layout { fields: (0..count).map(field).collect(), scopes };
            let known = self.templates.insert(id, layout.clone());
            assert!(known.is_none_or(|known| known == layout), "template {id} has changed");
        }
    }

    fn data_set(&mut self, id: u16, mut set: Input<'_>) {
        let layout = &self.templates[&id];
        while !set.0.is_empty() {
            let values = layout.fields.iter().map(|(element, length)| (*element, set.number(*length))).collect();
            self.records.push(Record { template: id, values });
        }
    }
}
