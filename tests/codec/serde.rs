//! Values as JSON and as postcard, a binary format that does not describe itself.

use std::{fmt::Debug, sync::mpsc, thread};

use ::serde::{Serialize, de::DeserializeOwned};
use ctnetlink::{
    Change, CpuStatistics, Event, EventRef, Expectation, Family, Flow, FlowTable, Labels, Prefix, Protocol, Status,
    TableStatistics, TcpState, Tuple,
};
use proptest::prelude::*;

use crate::{
    arbitrary,
    messages::{message, recorded},
};

proptest! {
    #[test]
    fn flow_comes_back_from_json_and_postcard(flow in arbitrary::flow()) {
        let json = serde_json::to_string(&flow).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Flow>(&json).unwrap(), &flow);
        let bytes = postcard::to_stdvec(&flow).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Flow>(&bytes).unwrap(), flow);
    }

    #[test]
    fn expectation_comes_back_from_json_and_postcard(expectation in arbitrary::expectation()) {
        let json = serde_json::to_string(&expectation).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Expectation>(&json).unwrap(), &expectation);
        let bytes = postcard::to_stdvec(&expectation).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Expectation>(&bytes).unwrap(), expectation);
    }
}

fn assert_comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let json = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), value);
    let bytes = postcard::to_stdvec(value).unwrap();
    assert_eq!(&postcard::from_bytes::<T>(&bytes).unwrap(), value);
}

#[test]
fn events_cross_a_channel_and_come_back_from_json_and_postcard() {
    let (sender, receiver) = mpsc::channel::<Event>();
    let receiving = thread::spawn(move || receiver.into_iter().collect::<Vec<_>>());
    let mut sent = vec![Event::Overrun];
    for bytes in recorded("vectors-events") {
        sent.push(EventRef::parse(&message(&bytes)).unwrap().to_event());
    }
    for event in &sent {
        sender.send(event.clone()).unwrap();
    }
    drop(sender);
    let received = receiving.join().unwrap();
    assert_eq!(received, sent);
    assert!(received.iter().any(|event| matches!(event, Event::ExpectationNew(_))));
    received.iter().for_each(assert_comes_back);
}

#[test]
fn changes_tuples_and_prefixes_come_back_from_json_and_postcard() {
    let (mut table, mut changes) = (FlowTable::new(), Vec::<Change>::new());
    for bytes in recorded("vectors-events") {
        table.apply(&EventRef::parse(&message(&bytes)).unwrap().to_event(), &mut changes);
    }
    assert!(!changes.is_empty());
    for change in &changes {
        assert_comes_back(change);
        assert_comes_back(&change.flow.original);
    }
    assert_comes_back(&"10.0.0.0/8".parse::<Prefix>().unwrap());
}

/// The names of fields are part of the interface and change only in a major release.
#[test]
fn flow_json_is_stable() {
    let bytes = recorded("vectors-dump").swap_remove(3);
    let flow = Flow::decode(&message(&bytes)).unwrap();
    let expected = serde_json::json!({
        "original": {
            "source": "10.99.0.1",
            "destination": "10.99.0.2",
            "protocol": "tcp",
            "layer4": { "ports": { "source": 40174, "destination": 21 } },
        },
        "reply": {
            "source": "10.99.0.2",
            "destination": "10.99.0.1",
            "protocol": "tcp",
            "layer4": { "ports": { "source": 21, "destination": 40174 } },
        },
        "status": "SEEN_REPLY,ASSURED,CONFIRMED,SRC_NAT_DONE,DST_NAT_DONE,HELPER",
        "timeout": 431_993,
        "mark": 0,
        "protocol_info": {
            "tcp": {
                "state": "ESTABLISHED",
                "window_scale_original": 10,
                "window_scale_reply": 10,
                "flags_original": { "flags": "WINDOW_SCALE,SACK_PERM,MAXACK_SET", "mask": "UNSET" },
                "flags_reply": { "flags": "WINDOW_SCALE,SACK_PERM,MAXACK_SET", "mask": "UNSET" },
            },
        },
        "counters_original": { "packets": 5, "bytes": 274 },
        "counters_reply": { "packets": 4, "bytes": 270 },
        "times": { "start": 1_795_400_622_422_670_107_u64 },
        "helper": { "name": "ftp" },
        "id": 1_315_078_033,
        "use_count": 1,
    });
    assert_eq!(serde_json::to_value(&flow).unwrap(), expected);
}

#[test]
fn numbers_without_a_name_stay_numbers() {
    assert_eq!(serde_json::to_string(&TcpState(200)).unwrap(), "200");
    assert_eq!(serde_json::from_str::<TcpState>("200").unwrap(), TcpState(200));
    assert_eq!(serde_json::from_str::<TcpState>("3").unwrap(), TcpState::ESTABLISHED);
    assert_eq!(serde_json::from_str::<TcpState>("\"established\"").unwrap(), TcpState::ESTABLISHED);
    assert!(serde_json::from_str::<TcpState>("256").is_err());
    assert!(serde_json::from_str::<TcpState>("\"ESTABLISHD\"").is_err());
    assert_eq!(serde_json::to_string(&(Family::IPV6, Protocol::GRE)).unwrap(), "[\"ipv6\",\"gre\"]");
}

#[test]
fn labels_are_a_list_and_flags_are_text() {
    let labels: Labels = [0, 5, 127].into_iter().collect();
    assert_eq!(serde_json::to_string(&labels).unwrap(), "[0,5,127]");
    assert!(serde_json::from_str::<Labels>("[128]").is_err());
    let status = Status::ASSURED | Status::from_bits_retain(1 << 30);
    assert_eq!(serde_json::to_string(&status).unwrap(), "\"ASSURED,0x40000000\"");
    assert_eq!(serde_json::from_str::<Status>("\"ASSURED,0x40000000\"").unwrap(), status);
}

#[test]
fn tuple_without_ports_omits_layer4() {
    let tuple = Tuple::new(Protocol(50), [10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let json = r#"{"source":"10.0.0.1","destination":"10.0.0.2","protocol":50}"#;
    assert_eq!(serde_json::to_string(&tuple).unwrap(), json);
    assert_eq!(serde_json::from_str::<Tuple>(json).unwrap(), tuple);
    let spelled_out = json.replace('}', r#","layer4":"none"}"#);
    assert_eq!(serde_json::from_str::<Tuple>(&spelled_out).unwrap(), tuple);
}

/// Statistics of each kind, with and without a value.
#[test]
fn statistics_come_back_from_json_and_postcard() {
    let mut cpu = CpuStatistics::default();
    (cpu.cpu, cpu.found, cpu.drop) = (3, Some(0), Some(7));
    let mut table = TableStatistics::default();
    table.entries = Some(9);
    let json = serde_json::to_string(&(&cpu, &table)).unwrap();
    assert_eq!(json, r#"[{"cpu":3,"found":0,"drop":7},{"entries":9}]"#);
    assert_eq!(serde_json::from_str::<(CpuStatistics, TableStatistics)>(&json).unwrap(), (cpu, table));
    let bytes = postcard::to_stdvec(&(&cpu, &table)).unwrap();
    assert_eq!(postcard::from_bytes::<(CpuStatistics, TableStatistics)>(&bytes).unwrap(), (cpu, table));
}

#[test]
fn binary_formats_hold_numbers_not_names() {
    assert_eq!(postcard::to_stdvec(&TcpState::ESTABLISHED).unwrap(), [3]);
    assert_eq!(postcard::to_stdvec(&Status::ASSURED).unwrap(), [4]);
    assert_eq!(postcard::to_stdvec(&Labels(1)).unwrap(), [1]);
}

/// Some formats have only signed numbers.
#[test]
fn signed_numbers_are_accepted() {
    use serde::{Deserialize, de::IntoDeserializer};
    let read =
        |number: i64| Protocol::deserialize(IntoDeserializer::<serde::de::value::Error>::into_deserializer(number));
    assert_eq!(read(50), Ok(Protocol(50)));
    assert!(read(-1).is_err());
    assert!(read(256).is_err());
}
