//! Numbers of the kernel's interface for packet filters, as `linux/netfilter/nf_tables.h` and the headers beside it have
//! them. They never change.

/// Types of messages, and their flags.
pub(crate) mod message {
    pub(crate) const ERROR: u16 = 2;
    pub(crate) const BATCH_BEGIN: u16 = 0x10;
    pub(crate) const BATCH_END: u16 = 0x11;
    /// Those of the subsystem begin here.
    pub(crate) const NFTABLES: u16 = 10 << 8;
    pub(crate) const NEW_TABLE: u16 = NFTABLES;
    pub(crate) const DELETE_TABLE: u16 = NFTABLES + 2;
    pub(crate) const NEW_CHAIN: u16 = NFTABLES + 3;
    pub(crate) const DELETE_CHAIN: u16 = NFTABLES + 5;
    pub(crate) const NEW_RULE: u16 = NFTABLES + 6;
    pub(crate) const DELETE_RULE: u16 = NFTABLES + 8;
    pub(crate) const NEW_SET: u16 = NFTABLES + 9;
    pub(crate) const DELETE_SET: u16 = NFTABLES + 11;
    pub(crate) const NEW_ELEMENTS: u16 = NFTABLES + 12;
    pub(crate) const DELETE_ELEMENTS: u16 = NFTABLES + 14;
    pub(crate) const NEW_GENERATION: u16 = NFTABLES + 15;

    pub(crate) const REQUEST: u16 = 0x1;
    pub(crate) const ACKNOWLEDGE: u16 = 0x4;
    pub(crate) const EXCLUSIVE: u16 = 0x200;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const APPEND: u16 = 0x800;
    /// In an error: attributes follow.
    pub(crate) const EXPLAINED: u16 = 0x200;
    /// In an error: what the text says, and where in the message it is.
    pub(crate) const ERROR_TEXT: u16 = 1;
    pub(crate) const ERROR_OFFSET: u16 = 2;
}

/// The first attribute of all messages that are about something in a table is the table's name.
pub(crate) const TABLE: u16 = 1;
/// An element of a list.
pub(crate) const LIST_ITEM: u16 = 1;

pub(crate) mod chain {
    pub(crate) const NAME: u16 = 3;
    pub(crate) const HOOK: u16 = 4;
    pub(crate) const POLICY: u16 = 5;
    pub(crate) const TYPE: u16 = 7;
    pub(crate) const HOOK_NUMBER: u16 = 1;
    pub(crate) const HOOK_PRIORITY: u16 = 2;
}

pub(crate) mod rule {
    pub(crate) const CHAIN: u16 = 2;
    pub(crate) const EXPRESSIONS: u16 = 4;
    pub(crate) const EXPRESSION_NAME: u16 = 1;
    pub(crate) const EXPRESSION_DATA: u16 = 2;
}

pub(crate) mod set {
    pub(crate) const NAME: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
    pub(crate) const KEY_TYPE: u16 = 4;
    pub(crate) const KEY_LENGTH: u16 = 5;
    pub(crate) const DATA_TYPE: u16 = 6;
    pub(crate) const DATA_LENGTH: u16 = 7;
    pub(crate) const DESCRIPTION: u16 = 9;
    pub(crate) const ID: u16 = 10;
    pub(crate) const TIMEOUT: u16 = 11;
    pub(crate) const USER_DATA: u16 = 13;
    pub(crate) const DESCRIPTION_SIZE: u16 = 1;

    pub(crate) const ANONYMOUS: u32 = 0x1;
    pub(crate) const CONSTANT: u32 = 0x2;
    pub(crate) const INTERVAL: u32 = 0x4;
    pub(crate) const MAP: u32 = 0x8;
    pub(crate) const TIMED: u32 = 0x10;
    pub(crate) const LEARNED: u32 = 0x20;

    pub(crate) const VERDICTS: u32 = 0xffff_ff00;
}

pub(crate) mod elements {
    pub(crate) const SET: u16 = 2;
    pub(crate) const LIST: u16 = 3;
    pub(crate) const SET_ID: u16 = 4;

    pub(crate) const KEY: u16 = 1;
    pub(crate) const DATA: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
    pub(crate) const END_OF_INTERVAL: u32 = 1;
}

pub(crate) mod data {
    pub(crate) const VALUE: u16 = 1;
    pub(crate) const VERDICT: u16 = 2;
    pub(crate) const VERDICT_CODE: u16 = 1;
    pub(crate) const VERDICT_CHAIN: u16 = 2;

    pub(crate) const DROP: i32 = 0;
    pub(crate) const ACCEPT: i32 = 1;
    pub(crate) const JUMP: i32 = -3;
    pub(crate) const GOTO: i32 = -4;
    pub(crate) const RETURN: i32 = -5;
}

/// Attributes and values of expressions, each named as its expression is.
pub(crate) mod expression {
    pub(crate) const IMMEDIATE_INTO: u16 = 1;
    pub(crate) const IMMEDIATE_DATA: u16 = 2;

    pub(crate) const BITWISE_FROM: u16 = 1;
    pub(crate) const BITWISE_INTO: u16 = 2;
    pub(crate) const BITWISE_LENGTH: u16 = 3;
    pub(crate) const BITWISE_MASK: u16 = 4;
    pub(crate) const BITWISE_XOR: u16 = 5;

    pub(crate) const CMP_FROM: u16 = 1;
    pub(crate) const CMP_OPERATION: u16 = 2;
    pub(crate) const CMP_DATA: u16 = 3;
    pub(crate) const CMP_EQUAL: u32 = 0;
    pub(crate) const CMP_DIFFERENT: u32 = 1;

    pub(crate) const LOOKUP_SET: u16 = 1;
    pub(crate) const LOOKUP_FROM: u16 = 2;
    pub(crate) const LOOKUP_INTO: u16 = 3;
    pub(crate) const LOOKUP_SET_ID: u16 = 4;
    pub(crate) const LOOKUP_FLAGS: u16 = 5;
    pub(crate) const LOOKUP_INVERTED: u32 = 1;

    pub(crate) const DYNSET_SET: u16 = 1;
    pub(crate) const DYNSET_OPERATION: u16 = 3;
    pub(crate) const DYNSET_KEY: u16 = 4;
    pub(crate) const DYNSET_DATA: u16 = 5;
    pub(crate) const DYNSET_UPDATE: u32 = 1;
    pub(crate) const DYNSET_DELETE: u32 = 2;

    pub(crate) const PAYLOAD_INTO: u16 = 1;
    pub(crate) const PAYLOAD_BASE: u16 = 2;
    pub(crate) const PAYLOAD_OFFSET: u16 = 3;
    pub(crate) const PAYLOAD_LENGTH: u16 = 4;
    pub(crate) const PAYLOAD_NETWORK: u32 = 1;
    pub(crate) const PAYLOAD_TRANSPORT: u32 = 2;

    pub(crate) const META_INTO: u16 = 1;
    pub(crate) const META_KEY: u16 = 2;
    pub(crate) const META_FROM: u16 = 3;
    pub(crate) const META_MARK: u32 = 3;
    pub(crate) const META_PROTOCOL: u32 = 16;

    pub(crate) const CT_INTO: u16 = 1;
    pub(crate) const CT_KEY: u16 = 2;
    pub(crate) const CT_STATE: u32 = 0;
    pub(crate) const CT_STATE_NEW: u32 = 8;

    pub(crate) const FIB_INTO: u16 = 1;
    pub(crate) const FIB_RESULT: u16 = 2;
    pub(crate) const FIB_FLAGS: u16 = 3;
    pub(crate) const FIB_KIND_OF_ADDRESS: u32 = 3;
    pub(crate) const FIB_SOURCE: u32 = 1;
    pub(crate) const FIB_DESTINATION: u32 = 2;
    pub(crate) const FIB_LOCAL: u32 = 2;

    pub(crate) const NUMGEN_INTO: u16 = 1;
    pub(crate) const NUMGEN_MODULUS: u16 = 2;
    pub(crate) const NUMGEN_TYPE: u16 = 3;
    pub(crate) const NUMGEN_RANDOM: u32 = 1;

    pub(crate) const NAT_TYPE: u16 = 1;
    pub(crate) const NAT_FAMILY: u16 = 2;
    pub(crate) const NAT_ADDRESS: u16 = 3;
    pub(crate) const NAT_PORT: u16 = 5;
    pub(crate) const NAT_DESTINATION: u32 = 1;

    pub(crate) const MASQ_FLAGS: u16 = 1;
    /// The port is as random as can be.
    pub(crate) const MASQ_FULLY_RANDOM: u32 = 1 << 4;

    pub(crate) const REJECT_TYPE: u16 = 1;
    pub(crate) const REJECT_CODE: u16 = 2;
    pub(crate) const REJECT_BY_ICMP: u32 = 0;
    pub(crate) const ICMP_PORT_UNREACHABLE: u8 = 3;
    pub(crate) const ICMP6_PORT_UNREACHABLE: u8 = 4;
}
