//! A map for a handful of things: one short vector, in the order of its keys.
//!
//! Every environment keeps a few such maps for as long as it lives, mostly with nothing or one thing in them. The leaf of
//! a tree has room for eleven, lies elsewhere, and is kept when the last of them goes: that was 3 KiB of each idle
//! environment. Here the first one lies in the map itself.

use smallvec::SmallVec;

/// Values by key; a search looks at all of them, so there are to be few.
#[derive(Clone, Debug)]
pub struct Few<K, V>(SmallVec<[(K, V); 1]>);

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self(SmallVec::new())
    }
}

impl<K: Ord + Copy, V> Few<K, V> {
    fn place(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.cmp(key))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a value under this key, and returns what was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.place(&key) {
            Ok(place) => Some(std::mem::replace(&mut self.0[place].1, value)),
            Err(place) => {
                self.0.insert(place, (key, value));
                None
            }
        }
    }

    /// The value under this key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.place(key).ok().map(|place| &self.0[place].1)
    }

    /// The value under this key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.place(key).ok().map(|place| &mut self.0[place].1)
    }

    /// Whether there is a value under this key.
    #[must_use]
    pub fn contains_key(&self, key: &K) -> bool {
        self.place(key).is_ok()
    }

    /// Takes the value under this key out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.place(key).ok().map(|place| self.0.remove(place).1)
    }

    /// Takes the value with the lowest key out.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    /// The value with the lowest key.
    #[must_use]
    pub fn first(&self) -> Option<&V> {
        self.0.first().map(|(_, value)| value)
    }

    /// Keeps those of which this is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        self.0.retain(|(key, value)| keep(key, value));
    }

    /// All, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    /// All values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// All values, to be changed, in the order of their keys.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_is_a_map(deeds in prop::collection::vec((0_u8..4, 0_u8..6, any::<u16>()), 0..60)) {
            let (mut few, mut map) = (Few::default(), BTreeMap::new());
            for (deed, key, value) in deeds {
                match deed {
                    0 => prop_assert_eq!(few.insert(key, value), map.insert(key, value)),
                    1 => prop_assert_eq!(few.remove(&key), map.remove(&key)),
                    2 => prop_assert_eq!(few.pop_first(), map.pop_first()),
                    _ => {
                        few.retain(|_, kept| *kept % 3 != value % 3);
                        map.retain(|_, kept| *kept % 3 != value % 3);
                    }
                }
                if let (Some(one), Some(other)) = (few.get_mut(&key), map.get_mut(&key)) {
                    *one = one.wrapping_add(1);
                    *other = other.wrapping_add(1);
                }
                few.values_mut().zip(map.values_mut()).for_each(|(one, other)| std::mem::swap(one, other));
                prop_assert_eq!(few.get(&key), map.get(&key));
                prop_assert_eq!(few.first(), map.values().next());
                prop_assert_eq!(few.contains_key(&key), map.contains_key(&key));
                prop_assert!(few.iter().eq(map.iter()) && few.keys().eq(map.keys()));
                prop_assert!(few.values().eq(map.values()) && few.len() == map.len());
                prop_assert_eq!(few.is_empty(), map.is_empty());
            }
        }
    }

    #[test]
    fn one_thing_lies_in_the_map_itself() {
        let mut few = Few::default();
        few.insert(1_u8, [0_u8; 100]);
        assert!(!few.0.spilled());
    }
}
