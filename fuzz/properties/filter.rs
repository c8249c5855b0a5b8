//! A filter selects the same flows in userspace, in the socket and in the kernel, and survives printing.

use ctnetlink::{
    Family, Filter, Flow, FlowRef, Prefix, Protocol,
    filter::{Capabilities, SocketFilter},
    wire::{Flags, MessageType},
};

use super::source::Source;

#[path = "../../tests/support/filter/bpf.rs"]
mod bpf;
#[allow(dead_code)] // Only tests look at the flags that were sent.
#[path = "../../tests/support/filter/kernel.rs"]
mod kernel;
#[path = "../../tests/support/filter/messages.rs"]
mod messages;
#[path = "../../tests/support/filter/spec.rs"]
mod spec;

use messages::{NOW, encoded, message};
use spec::Spec;

mod flows;

/// The first byte of inputs that contain choices instead of text. No filter begins with it.
const CHOICES: u8 = 0;
/// The largest depth of generated filters.
const DEPTH: u32 = 4;

/// Separates the texts of one input. The bytes are not valid UTF-8.
const SEPARATOR: [u8; 2] = [0xff; 2];

/// Reads either choices that make a filter, followed by choices that make flows; or texts. The first line of a text is a
/// filter, and the rest are choices that make flows.
pub fn holds(bytes: &[u8]) {
    if let [CHOICES, choices @ ..] = bytes {
        let mut source = Source(choices);
        let spec = tree(&mut source, DEPTH);
        let filter = spec.build();
        return selects_the_same_flows_everywhere(&filter, &mut source, |flow| {
            assert_eq!(filter.matches_at(flow, NOW), spec.holds(flow), "{filter}: {flow:?}");
        });
    }
    let mut rest = bytes;
    while let Some(end) = rest.windows(SEPARATOR.len()).position(|window| window == SEPARATOR) {
        text_holds(&rest[..end]);
        rest = &rest[end + SEPARATOR.len()..];
    }
    text_holds(rest);
}

fn text_holds(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (text, choices) = bytes.split_at(end);
    let Ok(text) = std::str::from_utf8(text) else { return };
    match text.parse::<Filter>() {
        Ok(filter) => {
            selects_the_same_flows_everywhere(&filter, &mut Source(choices.get(1..).unwrap_or_default()), |_| ())
        }
        Err(error) => assert!((1..=text.chars().count() + 1).contains(&error.column()), "{text}: {error}"),
    }
}

fn selects_the_same_flows_everywhere(filter: &Filter, source: &mut Source<'_>, check: impl Fn(&Flow)) {
    reads_back(filter);
    let program = SocketFilter::new(filter);
    bpf::check(program.instructions());
    let plans = [Capabilities::linux(6, 18), Capabilities::none(), capabilities(source)]
        .map(|known| (filter.plan(&known), known));
    let spare = spare_choices(&filter.to_string());
    for choices in [source.0, &spare] {
        let mut source = Source(choices);
        for _ in 0..FLOWS {
            let flow = flows::flow(&mut source);
            check(&flow);
            is_judged_alike(filter, &program, &flow);
            let (entry, zone) = flows::entry(flow, &mut source);
            let matches = filter.matches_at(&entry, NOW);
            for (plan, known) in &plans {
                kernel::dumps_return_the_matches(plan, known, (&entry, zone), matches);
                kernel::flushes_delete_the_matches(plan, known, (&entry, zone), matches);
            }
            if source.is_empty() {
                break;
            }
        }
    }
}

/// The largest number of flows made from each source of choices.
const FLOWS: usize = 4;

/// Pseudo-random choices derived from the text, to keep the property deterministic.
fn spare_choices(text: &str) -> [u8; 512] {
    let mut state = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    [(); 512].map(|()| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
}

fn is_judged_alike(filter: &Filter, program: &SocketFilter, flow: &Flow) {
    let matches = filter.matches_at(flow, NOW);
    let event = encoded(flow, MessageType::FLOW_NEW, Flags::CREATE | Flags::EXCLUSIVE);
    let view = FlowRef::parse(&message(&event)).unwrap();
    assert_eq!(filter.matches_at(&view, NOW), matches, "{filter}: {flow:?}");
    let passes = bpf::passes(program.instructions(), &event);
    assert!(passes || !matches, "the socket drops what matches {filter}: {flow:?}");
    assert!(!program.is_exact() || passes == matches, "the socket is not exact for {filter}: {flow:?}");
}

fn reads_back(filter: &Filter) {
    let text = filter.to_string();
    match text.parse::<Filter>() {
        Ok(read) => assert_eq!((&read, read.to_string()), (filter, text)),
        Err(error) => panic!("{text}: {error}"),
    }
}

fn capabilities(source: &mut Source<'_>) -> Capabilities {
    let (mut known, bits) = (Capabilities::none(), source.u8());
    known.mark_filter = bits & 1 != 0;
    known.flush_family = bits & 2 != 0;
    known.dump_tuple_filter = bits & 4 != 0;
    known.status_filter = bits & 8 != 0;
    known.zone_filter = bits & 16 != 0;
    known.flush_tuple_filter = bits & 32 != 0;
    known
}

fn tree(source: &mut Source<'_>, depth: u32) -> Spec {
    match source.below(8) {
        0 if depth > 0 => Spec::All(source.list(5, |source| tree(source, depth - 1))),
        1 if depth > 0 => Spec::Any(source.list(5, |source| tree(source, depth - 1))),
        2 if depth > 0 => Spec::Not(Box::new(tree(source, depth - 1))),
        _ => term(source),
    }
}

fn term(source: &mut Source<'_>) -> Spec {
    match source.below(16) {
        0 | 1 => Spec::Address(source.below(5), source.list(6, prefix)),
        2 | 3 => Spec::Port(source.below(10), source.list(12, |source| (flows::port(source), flows::port(source)))),
        4 => Spec::Port(10 + source.below(4), source.list(3, small)),
        5 => Spec::Wide(source.below(4), source.list(3, small)),
        6 => Spec::Long(source.below(7), source.list(3, small)),
        7 => Spec::Byte(0, source.list(3, flows::protocol).into_iter().map(just).collect()),
        8 => Spec::Byte(
            1 + source.below(6),
            source.list(3, |source| source.pick(&BYTES)).into_iter().map(|one| (one, one)).collect(),
        ),
        9 => Spec::Family(source.pick(&[Family::IPV4, Family::IPV6])),
        10 => Spec::Status(flows::bits(source), source.bool()),
        11 => Spec::Mark(flows::bits(source), if source.bool() { u32::MAX } else { flows::bits(source) }),
        12 if source.bool() => Spec::AllLabels(source.u8()),
        12 => Spec::AnyLabel(source.u8()),
        13 => Spec::Helper(source.pick(&["ftp", "and", "a \"b\" \\", "", "a,b", "é("])),
        14 => Spec::Nat(
            source.below(3),
            source.option(|source| source.list(4, prefix)),
            source.option(|source| source.list(4, |source| (flows::port(source), flows::port(source)))),
        ),
        _ if source.bool() => Spec::Tuples(source.list(3, flows::tuple)),
        _ => Spec::Offloaded,
    }
}

const BYTES: [u8; 17] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 128, 129, 139];

fn just(protocol: Protocol) -> (u8, u8) {
    (protocol.0, protocol.0)
}

fn small<T: From<u8>>(source: &mut Source<'_>) -> (T, T) {
    (source.pick(&[0, 1, 2, 3, 4, 5]).into(), source.pick(&[0, 1, 2, 3, 4, 5, 255]).into())
}

fn prefix(source: &mut Source<'_>) -> Prefix {
    let is_ipv6 = source.bool();
    let address = flows::address(source, is_ipv6);
    let length = if is_ipv6 { source.pick(&[0, 16, 63, 64, 128, 128]) } else { source.pick(&[0, 8, 24, 31, 32, 32]) };
    Prefix::new(address, length).unwrap()
}
