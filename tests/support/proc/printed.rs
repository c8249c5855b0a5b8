//! Prints values as lines of `/proc/net/nf_conntrack`, like the kernel does.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use ctnetlink::{GreKeys, Layer4};

/// Protocols with the kernel's names, their numbers, and the words before the tuples.
pub(crate) const PROTOCOLS: [(&str, u8, &str); 11] = [
    ("tcp", 6, "ESTABLISHED "),
    ("tcp", 6, "SYN_SENT2 "),
    ("udp", 17, ""),
    ("udplite", 136, ""),
    ("icmp", 1, ""),
    ("icmpv6", 58, ""),
    ("unknown", 58, ""),
    ("gre", 47, "timeout=30, stream_timeout=180 "),
    ("unknown", 50, ""),
    ("sctp", 132, "COOKIE_ECHOED "),
    ("dccp", 33, "PARTOPEN "),
];

/// A flow that the kernel would print.
#[derive(Clone, Debug)]
pub(crate) struct Printed {
    pub(crate) ipv6: bool,
    pub(crate) addresses: [u128; 4],
    pub(crate) protocol: (&'static str, u8, &'static str),
    pub(crate) keys: [u16; 3],
    pub(crate) timeout: Option<u32>,
    pub(crate) zones: (bool, bool, u16),
    pub(crate) counters: Option<[u64; 4]>,
    pub(crate) is_unreplied: bool,
    pub(crate) flag: &'static str,
    pub(crate) mark: Option<u32>,
    pub(crate) context: Option<String>,
    pub(crate) delta_time: Option<u64>,
    pub(crate) use_count: u32,
}

impl Printed {
    pub(crate) fn address(&self, place: usize) -> String {
        let bits = self.addresses[place];
        if self.ipv6 {
            Ipv6Addr::from_bits(bits).segments().map(|group| format!("{group:04x}")).join(":")
        } else {
            Ipv4Addr::from_bits(bits as u32).to_string()
        }
    }

    pub(crate) fn layer4(&self) -> Layer4 {
        let [first, second, third] = self.keys;
        match self.protocol.1 {
            1 | 58 => Layer4::Icmp { icmp_type: first as u8, code: second as u8, id: third },
            47 => Layer4::Gre(GreKeys { source: first, destination: second }),
            50 => Layer4::None,
            _ => Layer4::Ports { source: first, destination: second },
        }
    }

    fn tuple(&self, place: usize) -> String {
        let mut text = format!("src={} dst={} ", self.address(place), self.address(place + 1));
        let keys = match self.layer4() {
            Layer4::Icmp { icmp_type, code, id } => format!("type={icmp_type} code={code} id={id} "),
            Layer4::Gre(GreKeys { source, destination }) => format!("srckey=0x{source:x} dstkey=0x{destination:x} "),
            Layer4::Ports { source, destination } => format!("sport={source} dport={destination} "),
            _ => String::new(),
        };
        text.push_str(&keys);
        text
    }

    /// `ct_seq_show`, statement by statement.
    pub(crate) fn line(&self) -> String {
        let (name, number, state) = self.protocol;
        let (layer3, layer3_number) = if self.ipv6 { ("ipv6", 10) } else { ("ipv4", 2) };
        let mut line = format!("{layer3:<8} {layer3_number} {name:<8} {number} ");
        let (zone_original, zone_reply, zone) = self.zones;
        let mut put = |text: String| line.write_str(&text).unwrap();
        self.timeout.into_iter().for_each(|timeout| put(format!("{timeout} ")));
        put(state.to_owned());
        put(self.tuple(0));
        if zone_original {
            put(format!("zone-orig={zone} "));
        }
        self.counters.into_iter().for_each(|[packets, bytes, ..]| put(format!("packets={packets} bytes={bytes} ")));
        if self.is_unreplied {
            put("[UNREPLIED] ".to_owned());
        }
        put(self.tuple(2));
        if zone_reply {
            put(format!("zone-reply={zone} "));
        }
        self.counters.into_iter().for_each(|[.., packets, bytes]| put(format!("packets={packets} bytes={bytes} ")));
        put(self.flag.to_owned());
        self.mark.into_iter().for_each(|mark| put(format!("mark={mark} ")));
        self.context.iter().for_each(|context| put(format!("secctx={context} ")));
        if !zone_original && !zone_reply {
            put(format!("zone={zone} "));
        }
        self.delta_time.into_iter().for_each(|seconds| put(format!("delta-time={seconds} ")));
        put(format!("use={}", self.use_count));
        line
    }
}
