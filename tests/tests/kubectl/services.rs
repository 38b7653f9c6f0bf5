//! Addresses and node ports: given out, asked for, taken, given back.

use tests::kubectl::Kubectl;

use crate::{check_session, on_each_store};

on_each_store!(addresses_and_ports_are_allocated);

fn addresses_and_ports_are_allocated(kubectl: &Kubectl) {
    check_session!(
        kubectl,
        "services",
        "create service clusterip a --tcp=80 --clusterip=10.96.0.200
        create service clusterip b --tcp=80 --clusterip=10.96.0.200
        create service clusterip b --tcp=80 --clusterip=192.168.0.1
        create service clusterip headless --tcp=80 --clusterip=None
        create service nodeport n --tcp=80:8080 --node-port=30080
        create service nodeport m --tcp=80:8080 --node-port=30080
        create service nodeport m --tcp=80:8080 --node-port=1
        create service externalname e --external-name=example.com
        get services a headless e
        get service n -o jsonpath='{.spec.ports} {.spec.type}'
        delete service n
        create service nodeport m --tcp=80:8080 --node-port=30080 --dry-run=server
        create service nodeport m --tcp=80:8080 --node-port=30080
        delete service a
        create service clusterip b --tcp=80 --clusterip=10.96.0.200
        patch service b --type=merge -p '{\"spec\":{\"clusterIP\":\"10.96.0.201\"}}'"
    );
}
