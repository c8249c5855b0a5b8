//! Reads a saved line like conntrack(8).

use std::collections::BTreeMap;

use ctnetlink::{
    DccpInfo, DccpRole, DccpState, Flow, GreKeys, Layer4, Protocol, ProtocolInfo, SctpInfo, SctpState, Status, TcpInfo,
    Tuple,
    format::{LabelMap, Save},
};

/// The values of a flow that a line of `-A` contains.
pub(crate) fn carried(flow: &Flow) -> Flow {
    let mut carried = Flow::new(flow.original, flow.reply);
    carried.zone = flow.zone;
    carried.timeout = flow.timeout.or(Some(Save::TIMEOUT));
    carried.mark = flow.mark.filter(|mark| *mark != 0);
    let status = flow.status.unwrap_or_default();
    carried.status = Some(status & (Status::SEEN_REPLY | Status::ASSURED | Status::FIXED_TIMEOUT));
    carried.labels = flow.labels.filter(|labels| !labels.is_empty());
    carried.protocol_info = match (flow.protocol_info, flow.original.protocol) {
        (Some(ProtocolInfo::Dccp(info)), _) => {
            let mut carried = DccpInfo::default();
            (carried.state, carried.role) = (info.state, info.role);
            Some(carried.into())
        }
        (None, Protocol::TCP) => Some(TcpInfo::new("ESTABLISHED".parse().unwrap()).into()),
        (None, Protocol::SCTP) => Some(SctpInfo::new("ESTABLISHED".parse().unwrap(), 0, 0).into()),
        (None, Protocol::DCCP) => {
            let mut carried = DccpInfo::default();
            (carried.state, carried.role) = (Some(DccpState::OPEN), Some(DccpRole::CLIENT));
            Some(carried.into())
        }
        (Some(ProtocolInfo::Sctp(mut info)), _) => {
            let heartbeat = [SctpState::HEARTBEAT_SENT, SctpState::HEARTBEAT_ACKED];
            info.state = info.state.map(|state| if heartbeat.contains(&state) { SctpState::NONE } else { state });
            Some(info.into())
        }
        (info, _) => info,
    };
    carried
}

/// The command and the options of a line.
pub(crate) fn options(line: &str) -> (String, BTreeMap<String, String>) {
    let mut words = Vec::new();
    for (place, part) in line.split('"').enumerate() {
        if place % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    let options: BTreeMap<_, _> = words[1..].chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    assert_eq!(options.len() * 2 + 1, words.len(), "an option stands twice: {line}");
    (words[0].clone(), options)
}

/// The flow that a line adds.
pub(crate) fn flow(line: &str, labels: &LabelMap) -> Flow {
    let (command, options) = options(line);
    assert_eq!(command, "-A");
    let option = |name: &str| options.get(name).map(String::as_str);
    let protocol: Protocol = option("-p").unwrap().parse().unwrap();
    let address = |name| host(option(name).unwrap()).parse().unwrap();
    let translated = |plain, translated| if option(plain).is_some() { address(plain) } else { address(translated) };
    let mut original = Tuple::new(protocol, address("-s"), address("-d"));
    let mut reply = Tuple::new(protocol, translated("-r", "-g"), translated("-q", "-n"));
    let number = |name: &str| option(name).map(|number| number.parse::<u32>().unwrap());
    let short = |name: &str| number(name).unwrap().try_into().unwrap();
    (original.layer4, reply.layer4) = match protocol {
        Protocol::GRE => (
            Layer4::Gre(GreKeys { source: short("--srckey"), destination: short("--dstkey") }),
            Layer4::Gre(GreKeys { source: short("--reply-key-src"), destination: short("--reply-key-dst") }),
        ),
        Protocol::ICMP | Protocol::ICMPV6 => {
            let option = |name| short(&format!("--{protocol}-{name}"));
            let [icmp_type, code] = ["type", "code"].map(|name| option(name).try_into().unwrap());
            original.layer4 = Layer4::Icmp { icmp_type, code, id: option("id") };
            (original.layer4, original.inverted().unwrap_or(original).layer4)
        }
        protocol if protocol.has_ports() => (
            Layer4::Ports { source: short("--sport"), destination: short("--dport") },
            Layer4::Ports { source: short("--reply-port-src"), destination: short("--reply-port-dst") },
        ),
        _ => (Layer4::None, Layer4::None),
    };
    original.zone = number("--orig-zone").map(|zone| zone.try_into().unwrap());
    reply.zone = number("--reply-zone").map(|zone| zone.try_into().unwrap());
    let mut flow = Flow::new(original, reply);
    flow.zone = number("-w").map(|zone| zone.try_into().unwrap());
    (flow.timeout, flow.mark) = (number("-t"), number("-m"));
    flow.status = option("-u").map(|status| status.parse().unwrap());
    flow.labels = option("--label-add").map(|names| names.split(',').map(|name| labels.bit(name).unwrap()).collect());
    // A tag is printed as a number in the byte order of the host.
    let tag = |name| u32::from_be_bytes(number(name).unwrap().to_ne_bytes());
    flow.protocol_info = option("--state").map(|name| match super::state(protocol, name) {
        ProtocolInfo::Sctp(info) => SctpInfo::new(info.state.unwrap(), tag("--orig-vtag"), tag("--reply-vtag")).into(),
        ProtocolInfo::Dccp(mut info) => {
            info.role = option("--role").map(|role| role.parse().unwrap());
            info.into()
        }
        info => info,
    });
    flow
}

/// The address of the target of a translation, such as `192.0.2.1:80` or `[2001:db8::1]:80`.
fn host(end: &str) -> &str {
    match end.strip_prefix('[') {
        Some(end) => end.split(']').next().unwrap(),
        None if end.matches(':').count() == 1 => end.split(':').next().unwrap(),
        None => end,
    }
}
