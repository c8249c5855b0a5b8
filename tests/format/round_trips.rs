//! Printed flows are read back equal, as far as the format can express them.

use ctnetlink::{
    Layer4, Timestamp,
    format::{Save, Text, Xml},
};
use proptest::prelude::*;

use crate::{
    flows::{LABELS, expectation, flow},
    readers::{save, text, xml},
    recordings::dumped_flows,
};

const NOW: Timestamp = Timestamp(1_795_400_629_000_000_000);

proptest! {
    #[test]
    fn flows_come_back_from_text(flow in flow()) {
        let line = Text::new().extended(true).id(true).labels(&LABELS).now(NOW).flow(&flow).to_string();
        prop_assert_eq!(text::flow(&line, &LABELS), text::carried(&flow), "{}", line);
    }

    #[test]
    fn flows_come_back_from_xml(flow in flow()) {
        let element = Xml::new().kernel_timestamps(true).labels(&LABELS).now(NOW).flow(&flow).to_string();
        prop_assert_eq!(xml::flow(&element, &LABELS), xml::carried(&flow), "{}", element);
    }

    #[test]
    fn flows_come_back_from_save(flow in flow()) {
        let line = Save::new().labels(&LABELS).flow(&flow).to_string();
        let (mut read, mut carried) = (save::flow(&line, &LABELS), save::carried(&flow));
        // A line contains the query of the original tuple only.
        if matches!(carried.reply.layer4, Layer4::Icmp { .. }) {
            (read.reply.layer4, carried.reply.layer4) = (Layer4::None, Layer4::None);
        }
        prop_assert_eq!(read, carried, "{}", line);
    }

    #[test]
    fn expectations_come_back_from_text(expectation in expectation()) {
        let line = expectation.to_string();
        prop_assert_eq!(text::expectation(&line), text::carried_of_expectation(&expectation), "{}", line);
    }

    #[test]
    fn expectations_come_back_from_xml(expectation in expectation()) {
        let element = Xml::new().expectation(&expectation).to_string();
        prop_assert_eq!(xml::expectation(&element), text::carried_of_expectation(&expectation), "{}", element);
    }

    #[test]
    fn every_destination_receives_the_same_text(flow in flow()) {
        for printed in [Text::new().now(NOW).flow(&flow), Xml::new().now(NOW).flow(&flow), Save::new().flow(&flow)] {
            let (mut bytes, mut string) = (b"before ".to_vec(), "before ".to_owned());
            printed.append_to(&mut bytes);
            printed.write_to(&mut string).unwrap();
            prop_assert_eq!(&bytes, string.as_bytes());
            prop_assert_eq!(string, format!("before {printed}"));
        }
    }
}

#[test]
fn printing_does_not_reallocate_a_large_buffer() {
    let mut buffer = Vec::with_capacity(4096);
    let place = buffer.as_ptr();
    for flow in dumped_flows() {
        for printed in [Text::new().flow(&flow), Xml::new().flow(&flow), Save::new().flow(&flow)] {
            buffer.clear();
            printed.append_to(&mut buffer);
            assert_eq!((buffer.as_ptr(), buffer.capacity()), (place, 4096));
        }
    }
}

#[cfg(feature = "json")]
mod json {
    use ctnetlink::{EventKind, Expectation, Flow, format::Json};

    use super::*;
    use crate::recordings::dumped_expectations;

    proptest! {
        #[test]
        fn flows_come_back_complete_from_json(flow in flow()) {
            let object = Json::new().flow(&flow).to_string();
            prop_assert_eq!(&object, &serde_json::to_string(&flow).unwrap());
            prop_assert_eq!(serde_json::from_str::<Flow>(&object).unwrap(), flow);
        }

        #[test]
        fn expectations_come_back_complete_from_json(expectation in expectation()) {
            let object = Json::new().expectation(&expectation).to_string();
            prop_assert_eq!(&object, &serde_json::to_string(&expectation).unwrap());
            prop_assert_eq!(serde_json::from_str::<Expectation>(&object).unwrap(), expectation);
        }
    }

    #[test]
    fn event_adds_one_field() {
        for flow in dumped_flows() {
            let object = Json::new().event(EventKind::Destroy).flow(&flow).to_string();
            let value: serde_json::Value = serde_json::from_str(&object).unwrap();
            assert_eq!(value["event"], "destroy");
            assert_eq!(serde_json::from_str::<Flow>(&object).unwrap(), flow);
        }
    }

    #[test]
    fn helper_with_control_characters_is_escaped() {
        let mut expectation = dumped_expectations().remove(0);
        expectation.helper = Some((0..0x80).map(char::from).collect::<String>().into());
        let object = Json::new().expectation(&expectation).to_string();
        assert_eq!(serde_json::from_str::<Expectation>(&object).unwrap(), expectation);
        assert!(!object.contains('\n'));
    }
}
