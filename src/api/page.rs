//! Lists in pages: `Marker` in, `NextMarker` out, at most so many items as caller and service agree on.
//!
//! A marker names the last item that was given, not a position, so that items that come and go in between are neither
//! skipped nor repeated. It is opaque to clients. Deliberately not here: the order of items (the caller's, ascending).

use crate::error::ApiError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How many functions, versions or aliases one page holds at most, whatever `MaxItems` says.
pub const MAX_FUNCTIONS: usize = 50;
/// How many event source mappings one page holds at most.
pub const MAX_MAPPINGS: usize = 100;

// The first byte tells the form, so that it can change without misreading old markers.
const FORM: u8 = b'1';

/// Which page is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The key of the last item of the page before; `None` for the first page.
    pub after: Option<String>,
    /// How many items to give at most, at least 1.
    pub limit: usize,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What the next request passes as `Marker`; `None` ends the list.
    pub next_marker: Option<String>,
}

impl Request {
    /// Reads `Marker` and `MaxItems`; `cap` is how many items the service gives at most.
    ///
    /// # Errors
    /// 400 `InvalidParameterValueException` for a marker that no page gave. An empty marker asks for the first page.
    pub fn new(marker: Option<&str>, max_items: Option<i32>, cap: usize) -> Result<Self, ApiError> {
        let after = match marker.filter(|marker| !marker.is_empty()) {
            Some(marker) => {
                Some(open(marker).ok_or_else(|| ApiError::invalid_parameter("Invalid pagination token."))?)
            }
            None => None,
        };
        let asked = max_items.and_then(|count| usize::try_from(count).ok()).unwrap_or(cap);
        Ok(Self { after, limit: asked.clamp(1, cap.max(1)) })
    }

    /// Cuts this page out of `items`, which come in ascending order of `key`.
    pub fn cut<T>(&self, items: impl IntoIterator<Item = T>, key: impl Fn(&T) -> &str) -> Page<T> {
        let mut rest =
            items.into_iter().filter(|item| self.after.as_deref().is_none_or(|after| key(item) > after));
        let items: Vec<T> = rest.by_ref().take(self.limit).collect();
        let next_marker = match (items.last(), rest.next()) {
            (Some(last), Some(_)) => Some(seal(key(last))),
            _ => None,
        };
        Page { items, next_marker }
    }
}

/// The marker for a page that ended with the item of this key.
#[must_use]
pub fn seal(key: &str) -> String {
    let mut bytes = vec![FORM];
    bytes.extend_from_slice(key.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn open(marker: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(marker).ok()?;
    let (form, key) = bytes.split_first()?;
    (*form == FORM).then(|| String::from_utf8(key.to_vec()).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(item: &String) -> &str {
        item
    }

    #[test]
    fn the_service_cap_wins_over_max_items() {
        assert_eq!(Request::new(None, Some(10_000), MAX_FUNCTIONS).unwrap().limit, 50);
        assert_eq!(Request::new(None, Some(3), MAX_FUNCTIONS).unwrap().limit, 3);
        assert_eq!(Request::new(Some(""), None, MAX_FUNCTIONS).unwrap(), Request { after: None, limit: 50 });
    }

    #[test]
    fn a_marker_that_no_page_gave_is_refused() {
        for marker in ["x", "!!!", "AAAA", "ü"] {
            assert_eq!(Request::new(Some(marker), None, 50).unwrap_err().status(), 400, "{marker}");
        }
    }

    #[test]
    fn an_item_removed_between_pages_does_not_hide_another() {
        let items = ["a", "b", "c", "d"].map(str::to_owned);
        let first = Request::new(None, Some(2), 50).unwrap().cut(items.clone(), key);
        let marker = first.next_marker.unwrap();
        let rest = Request::new(Some(&marker), None, 50).unwrap().cut(["c".to_owned(), "d".to_owned()], key);
        assert_eq!(rest, Page { items: vec!["c".to_owned(), "d".to_owned()], next_marker: None });
    }

    proptest! {
        #[test]
        fn all_pages_together_are_the_list(items in proptest::collection::btree_set("\\PC{0,8}", 0..40), size in 1_i32..9) {
            let (mut seen, mut marker) = (Vec::new(), None);
            for _ in 0..50 {
                let page = Request::new(marker.as_deref(), Some(size), 50).unwrap().cut(items.clone(), key);
                seen.extend(page.items);
                marker = page.next_marker;
                if marker.is_none() {
                    break;
                }
            }
            prop_assert_eq!(seen, items.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn reading_a_marker_never_panics(marker in ".{0,40}") {
            let _ = Request::new(Some(&marker), None, 50);
        }
    }
}
