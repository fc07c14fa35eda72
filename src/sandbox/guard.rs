//! The part of the firewall that no other program can take away: a second, tiny table that this process owns.
//!
//! The kernel keeps everybody but the owner from changing such a table (`flags owner`, Linux 5.12), `nft flush ruleset`
//! passes it by, and it goes when its owner's socket closes. While the main table is missing it keeps sandboxes from the
//! host, from each other and from cloud metadata, and lets nothing out under an environment's own address: without the
//! main table's translation that is everything. Deliberately not here: what the configuration denies, which would only
//! matter to a host that translates these addresses by rules of somebody else.
//!
//! It is written without `nft`, whose tables would end with it.

use crate::cidr::Cidr;
use crate::netlink::{ACK, APPEND, CREATE, Message, Netlink};
use nix::sys::socket::SockProtocol;

const NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = NFTABLES << 8;
const DELETE_TABLE: u16 = NFTABLES << 8 | 2;
const NEW_CHAIN: u16 = NFTABLES << 8 | 3;
const NEW_RULE: u16 = NFTABLES << 8 | 6;
const INET: [u8; 4] = [1, 0, 0, 0];
const SUBSYSTEM: [u8; 4] = [0, 0, 0, 10];

const OWNER: u32 = 2;
const LOCAL_IN: u32 = 1;
const FORWARD: u32 = 2;
const POST_ROUTING: u32 = 4;
const ACCEPT: u32 = 1;
const DROP: u32 = 0;
/// Before other programs' filters, but after the main table's, which refuses with a word what is dropped here.
const EARLY: i32 = -4;
/// After every translation of addresses (100). What is dropped here leaves no connection behind that would stay without
/// translation once the main table is back.
const LATE: i32 = 300;

const VERDICT_REGISTER: u32 = 0;
const REGISTER: u32 = 1;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_NFPROTO: u32 = 15;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const NOT_ABOVE: u32 = 3;
const NOT_BELOW: u32 = 5;
const IPV4: u8 = 2;
const NETWORK_HEADER: u32 = 1;
/// Places of the addresses within an IPv4 header.
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;
const ADDRESS_BYTES: u32 = 4;

/// Stands as long as this value lives.
#[derive(Debug)]
pub struct Guard {
    _owner: Netlink,
}

/// What the table is made of.
#[derive(Clone, Copy, Debug)]
pub struct Walls<'a> {
    /// How the host's ends of all links begin.
    pub links: &'a str,
    /// Addresses of this daemon's environments.
    pub block: Cidr,
    /// Never reachable.
    pub never: &'a [Cidr],
}

impl Guard {
    /// Writes the table.
    ///
    /// # Errors
    /// When the kernel refuses: it is older than 5.12, or has no nf_tables.
    pub fn set_up(table: &str, walls: Walls<'_>) -> nix::Result<Self> {
        let mut owner = Netlink::open(SockProtocol::NetlinkNetFilter, 0)?;
        owner.ask(batch(written(table, walls)))?;
        Ok(Self { _owner: owner })
    }
}

/// Takes a table away that nobody owns.
///
/// # Errors
/// When it is still there.
pub fn delete_table(table: &str) -> nix::Result<()> {
    let request = Message::new(DELETE_TABLE, ACK, &INET).text(1, table);
    match Netlink::open(SockProtocol::NetlinkNetFilter, 0)?.ask(batch(vec![request])) {
        Err(nix::Error::ENOENT) => Ok(()),
        done => done,
    }
}

/// All of it is done, or nothing.
fn batch(messages: Vec<Message>) -> Vec<Message> {
    let [begin, end] = [BATCH_BEGIN, BATCH_END].map(|kind| Message::new(kind, 0, &SUBSYSTEM));
    [vec![begin], messages, vec![end]].concat()
}

fn written(table: &str, Walls { links, block, never }: Walls<'_>) -> Vec<Message> {
    let flags = CREATE | ACK;
    let chain = |name: &str, hook: u32, priority: i32| {
        Message::new(NEW_CHAIN, flags, &INET)
            .text(1, table)
            .text(3, name)
            .nested(4, &[], |it| it.big_endian(1, hook).big_endian(2, priority.cast_unsigned()))
            .big_endian(5, ACCEPT)
            .text(7, "filter")
    };
    let rule = |chain: &str, expressions: &dyn Fn(Message) -> Message| {
        let rule = Message::new(NEW_RULE, flags | APPEND, &INET).text(1, table).text(2, chain);
        rule.nested(4, &[], |it| drop(expressions(it)))
    };
    let from_link = |it| begins(it, META_IIFNAME, links);
    let mut all = vec![
        Message::new(NEW_TABLE, flags, &INET).text(1, table).big_endian(2, OWNER),
        chain("host", LOCAL_IN, EARLY),
        chain("crossing", FORWARD, EARLY),
        chain("leaving", POST_ROUTING, LATE),
        rule("host", &from_link),
        rule("crossing", &|it| begins(from_link(it), META_OIFNAME, links)),
        rule("crossing", &|it| compare(meta(from_link(it), META_NFPROTO), NOT_EQUAL, &[IPV4])),
        rule("leaving", &|it| within(compare(meta(it, META_NFPROTO), EQUAL, &[IPV4]), SOURCE, block)),
    ];
    all.extend(never.iter().map(|range| rule("crossing", &|it| within(from_link(it), DESTINATION, *range))));
    all
}

fn expression(list: Message, name: &str, data: impl FnOnce(Message) -> Message) -> Message {
    list.nested(1, &[], |it| it.text(1, name).nested(2, &[], data))
}

fn meta(list: Message, key: u32) -> Message {
    expression(list, "meta", |it| it.big_endian(2, key).big_endian(1, REGISTER))
}

fn payload(list: Message, offset: u32, length: u32) -> Message {
    expression(list, "payload", |it| {
        it.big_endian(1, REGISTER).big_endian(2, NETWORK_HEADER).big_endian(3, offset).big_endian(4, length)
    })
}

fn compare(list: Message, operator: u32, value: &[u8]) -> Message {
    expression(list, "cmp", |it| {
        it.big_endian(1, REGISTER).big_endian(2, operator).nested(3, &[], |data| data.attribute(1, value))
    })
}

/// The address at this place of an IPv4 header is in the range.
fn within(list: Message, place: u32, range: Cidr) -> Message {
    let above = compare(payload(list, place, ADDRESS_BYTES), NOT_BELOW, &range.first().octets());
    compare(above, NOT_ABOVE, &range.last().octets())
}

/// The interface's name begins so: fewer bytes are compared than a name has.
fn begins(list: Message, key: u32, start: &str) -> Message {
    compare(meta(list, key), EQUAL, start.as_bytes())
}

fn drop(list: Message) -> Message {
    expression(list, "immediate", |it| {
        it.big_endian(1, VERDICT_REGISTER)
            .nested(2, &[], |data| data.nested(2, &[], |verdict| verdict.big_endian(1, DROP)))
    })
}
