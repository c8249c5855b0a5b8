//! Statistics and settings.

use ctnetlink::sysctl;

use crate::{cases, lab::Lab, samples::udp_flow};

cases! {
    the_table_is_counted;
    every_processor_answers;
    settings_are_read_and_written;
}

fn the_table_is_counted(lab: &Lab) {
    let mut client = lab.client();
    for number in 1..=5 {
        client.create(&udp_flow(number)).unwrap();
    }
    let statistics = client.statistics().unwrap();
    assert_eq!(statistics.entries, Some(5));
    assert_eq!(statistics.max_entries, Some(sysctl::MAX.read().unwrap()));
    assert_eq!(sysctl::COUNT.read().unwrap(), 5);
}

fn every_processor_answers(lab: &Lab) {
    // Linux 6.18 counts as inserts those through netlink, not those of packets.
    lab.client().create(&udp_flow(1)).unwrap();
    let statistics = lab.client().cpu_statistics().unwrap();
    assert!(statistics.len() >= std::thread::available_parallelism().unwrap().get());
    let total = statistics.iter().fold(ctnetlink::CpuStatistics::default(), |sum, cpu| sum.sum(cpu));
    assert_eq!(total.insert, Some(1));
    assert!(total.found.is_some());
    assert!(statistics.iter().enumerate().all(|(place, cpu)| place == usize::from(cpu.cpu)));
}

fn settings_are_read_and_written(_: &Lab) {
    let before = sysctl::ACCOUNTING.read().unwrap();
    sysctl::ACCOUNTING.write(1 - before).unwrap();
    assert_eq!(sysctl::ACCOUNTING.read().unwrap(), 1 - before);
    let error = sysctl::MAX.write(5).unwrap_err();
    assert!(error.to_string().starts_with("/proc/sys/net/netfilter/nf_conntrack_max: "), "{error}");
}
