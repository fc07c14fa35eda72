//! The description of data: what a member is called on the wire, where it travels, what values the service accepts.
//!
//! One constant description per shape is what the codec (both directions) and the validator interpret, so that no
//! operation has a parser of its own. The two macros declare a Rust type and its description from one line.
//! Deliberately not here: reading or judging values (see `codec` and `validate`).

/// A shape of the API: its name in the model, its kind, and whether its value may be printed.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The name in the service's model.
    pub name: &'static str,
    /// What values look like.
    pub kind: Kind,
    /// True for values that error messages must not repeat.
    pub sensitive: bool,
}

/// What the values of a shape look like and what the service accepts.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A JSON object with named members, in the order of the model.
    Structure(&'static [Member]),
    /// A JSON array.
    List(List),
    /// A JSON object with free keys.
    Map(Map),
    /// A JSON string.
    Text(Text),
    /// A JSON number without fraction, 32 bits wide.
    Integer(Bounds<i64>),
    /// A JSON number without fraction, 64 bits wide.
    Long(Bounds<i64>),
    /// A JSON number.
    Double(Bounds<f64>),
    /// A JSON boolean.
    Boolean,
    /// Bytes: base64 text inside JSON, raw as a payload. The bounds count bytes.
    Blob(Bounds<usize>),
    /// A moment: epoch seconds inside JSON, ISO 8601 in a query string.
    Timestamp,
}

/// Inclusive bounds; `None` is unbounded.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<T> {
    /// The smallest accepted value.
    pub min: Option<T>,
    /// The largest accepted value.
    pub max: Option<T>,
}

impl<T> Bounds<T> {
    const NONE: Self = Self { min: None, max: None };
}

/// A list of values of one shape.
#[derive(Clone, Copy, Debug)]
pub struct List {
    /// The shape of each value.
    pub member: &'static Shape,
    /// How many values are accepted.
    pub length: Bounds<usize>,
    /// False where the service does not print "Member must not be null" among the constraints of a member.
    pub says_not_null: bool,
    /// True where the service prints the member's constraint without the words "Member must satisfy constraint".
    pub bare: bool,
}

/// A map from text to values of one shape.
#[derive(Clone, Copy, Debug)]
pub struct Map {
    /// The shape of each key.
    pub key: &'static Shape,
    /// The shape of each value.
    pub value: &'static Shape,
    /// How many entries are accepted.
    pub length: Bounds<usize>,
}

/// A text and what it may contain. Length counts UTF-16 units, as the service does.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// How long it may be.
    pub length: Bounds<usize>,
    /// The pattern that the whole text must match, as the service prints it.
    pub pattern: Option<&'static str>,
    /// The accepted values in the order in which the service prints them; empty accepts any text.
    pub choices: &'static [&'static str],
}

/// Where a member travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A member of the JSON body.
    Body,
    /// A label of the path.
    Label,
    /// A query parameter of this name.
    Query(&'static str),
    /// An HTTP header of this name.
    Header(&'static str),
    /// The HTTP status of the answer.
    Status,
    /// The whole body.
    Payload,
}

/// A member of a structure.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// The name on the wire.
    pub name: &'static str,
    /// The shape of its value.
    pub shape: &'static Shape,
    /// Where it travels.
    pub place: Place,
    /// True if a request without it is refused.
    pub required: bool,
}

impl Shape {
    const fn of(kind: Kind) -> Self {
        Self { name: "", kind, sensitive: false }
    }

    /// The same description under the name that the model gives it.
    pub(crate) const fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    pub(crate) const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    pub(crate) const fn length(mut self, min: usize, max: usize) -> Self {
        let length = Bounds { min: Some(min), max: Some(max) };
        match &mut self.kind {
            Kind::Text(text) => text.length = length,
            Kind::List(list) => list.length = length,
            Kind::Map(map) => map.length = length,
            Kind::Blob(bounds) => *bounds = length,
            _ => panic!("only texts, lists, maps and blobs have a length"),
        }
        self
    }

    pub(crate) const fn pattern(mut self, pattern: &'static str) -> Self {
        match &mut self.kind {
            Kind::Text(text) => text.pattern = Some(pattern),
            _ => panic!("only texts have a pattern"),
        }
        self
    }

    pub(crate) const fn at_least(mut self, min: i64) -> Self {
        match &mut self.kind {
            Kind::Integer(bounds) | Kind::Long(bounds) => bounds.min = Some(min),
            _ => panic!("only whole numbers have whole bounds"),
        }
        self
    }

    pub(crate) const fn at_most(mut self, max: i64) -> Self {
        match &mut self.kind {
            Kind::Integer(bounds) | Kind::Long(bounds) => bounds.max = Some(max),
            _ => panic!("only whole numbers have whole bounds"),
        }
        self
    }

    pub(crate) const fn no_less_than(mut self, min: f64) -> Self {
        match &mut self.kind {
            Kind::Double(bounds) => bounds.min = Some(min),
            _ => panic!("only doubles have fractional bounds"),
        }
        self
    }

    pub(crate) const fn no_more_than(mut self, max: f64) -> Self {
        match &mut self.kind {
            Kind::Double(bounds) => bounds.max = Some(max),
            _ => panic!("only doubles have fractional bounds"),
        }
        self
    }

    /// A list for whose members the service does not say that they must not be null.
    pub(crate) const fn nullable(mut self) -> Self {
        match &mut self.kind {
            Kind::List(list) => list.says_not_null = false,
            _ => panic!("only lists have members"),
        }
        self
    }

    /// A list whose member constraint the service prints without its usual frame.
    pub(crate) const fn bare(mut self) -> Self {
        match &mut self.kind {
            Kind::List(list) => list.bare = true,
            _ => panic!("only lists have members"),
        }
        self
    }

    /// The members of a structure; none for every other kind.
    #[must_use]
    pub const fn members(&self) -> &'static [Member] {
        match self.kind {
            Kind::Structure(members) => members,
            _ => &[],
        }
    }

    /// The member of this wire name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&'static Member> {
        self.members().iter().find(|member| member.name == name)
    }

    /// The member that is the whole body, if there is one.
    #[must_use]
    pub fn payload(&self) -> Option<&'static Member> {
        self.members().iter().find(|member| member.place == Place::Payload)
    }

    /// True if the body is raw bytes, which no codec reads or copies.
    #[must_use]
    pub fn has_raw_payload(&self) -> bool {
        self.payload().is_some_and(|member| matches!(member.shape.kind, Kind::Blob(_)))
    }
}

impl Member {
    pub(crate) const fn label(mut self) -> Self {
        self.place = Place::Label;
        self
    }

    pub(crate) const fn query(mut self) -> Self {
        self.place = Place::Query(self.name);
        self
    }

    pub(crate) const fn query_as(mut self, name: &'static str) -> Self {
        self.place = Place::Query(name);
        self
    }

    pub(crate) const fn header(mut self, name: &'static str) -> Self {
        self.place = Place::Header(name);
        self
    }

    pub(crate) const fn status(mut self) -> Self {
        self.place = Place::Status;
        self
    }

    pub(crate) const fn payload(mut self) -> Self {
        self.place = Place::Payload;
        self
    }

    pub(crate) const fn required(mut self) -> Self {
        self.required = true;
        self
    }
}

pub(crate) const fn structure(members: &'static [Member]) -> Shape {
    Shape::of(Kind::Structure(members))
}

pub(crate) const fn member(name: &'static str, shape: &'static Shape) -> Member {
    Member { name, shape, place: Place::Body, required: false }
}

pub(crate) const fn list(member: &'static Shape) -> Shape {
    Shape::of(Kind::List(List { member, length: Bounds::NONE, says_not_null: true, bare: false }))
}

pub(crate) const fn map(key: &'static Shape, value: &'static Shape) -> Shape {
    Shape::of(Kind::Map(Map { key, value, length: Bounds::NONE }))
}

pub(crate) const fn text() -> Shape {
    Shape::of(Kind::Text(Text { length: Bounds::NONE, pattern: None, choices: &[] }))
}

pub(crate) const fn choice(choices: &'static [&'static str]) -> Shape {
    Shape::of(Kind::Text(Text { length: Bounds::NONE, pattern: None, choices }))
}

pub(crate) const fn integer() -> Shape {
    Shape::of(Kind::Integer(Bounds::NONE))
}

pub(crate) const fn long() -> Shape {
    Shape::of(Kind::Long(Bounds::NONE))
}

pub(crate) const fn double() -> Shape {
    Shape::of(Kind::Double(Bounds::NONE))
}

pub(crate) const fn boolean() -> Shape {
    Shape::of(Kind::Boolean)
}

pub(crate) const fn blob() -> Shape {
    Shape::of(Kind::Blob(Bounds::NONE))
}

pub(crate) const fn timestamp() -> Shape {
    Shape::of(Kind::Timestamp)
}

/// Scalars, lists and maps: `Name: RustType = description;` gives a type alias and a description of that name.
macro_rules! alias {
    ($($name:ident: $rust:ty = $shape:expr;)*) => {$(
        #[doc = concat!("The service's `", stringify!($name), "`.")]
        pub type $name = $rust;
        #[doc = concat!("Describes `", stringify!($name), "`.")]
        pub static $name: $crate::shape::Shape = $shape.named(stringify!($name));
    )*};
}

/// Structures: `Name { field: Shape = "WireName".place().required(); + Blob = "Payload"; }` gives a struct of optional
/// members and a description. The `+` line is a raw payload: described, but no field, so that its bytes are never copied.
macro_rules! shape {
    ($(
        $(#[$meta:meta])*
        $name:ident {
            $($field:ident: $shape:ident = $wire:literal $(.$attribute:ident($($argument:literal)?))*;)*
            $(+ $raw:ident = $raw_wire:literal $(.$raw_attribute:ident())*;)?
        }
    )*) => {$(
        $(#[$meta])*
        #[doc = concat!("The service's `", stringify!($name), "`.")]
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $(
                #[doc = concat!("`", $wire, "`, a `", stringify!($shape), "`.")]
                #[serde(rename = $wire, default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$shape>,
            )*
        }
        #[doc = concat!("Describes `", stringify!($name), "`.")]
        pub static $name: $crate::shape::Shape = $crate::shape::structure(&[
            $($crate::shape::member($wire, &$shape)$(.$attribute($($argument)?))*,)*
            $($crate::shape::member($raw_wire, &$raw).payload()$(.$raw_attribute())*,)?
        ]).named(stringify!($name));
    )*};
}

pub(crate) use {alias, shape};
