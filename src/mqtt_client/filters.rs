use std::collections::HashMap;
use std::str::Split;

/// Values by topic filter, found by topic name (section 4.7): a tree of levels, so that a search does not grow with the
/// number of filters that have nothing to do with the topic.
#[derive(Debug)]
pub(super) struct FilterTree<T> {
    root: Node<T>,
}

#[derive(Debug)]
struct Node<T> {
    levels: HashMap<Box<str>, Node<T>>,
    /// Below a `+`.
    any: Option<Box<Node<T>>>,
    /// Filters that end here.
    here: Vec<T>,
    /// Filters that end with a `#` here.
    rest: Vec<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { levels: HashMap::new(), any: None, here: Vec::new(), rest: Vec::new() }
    }
}

impl<T> Default for FilterTree<T> {
    fn default() -> Self {
        Self { root: Node::default() }
    }
}

impl<T> FilterTree<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    pub(super) fn insert(&mut self, filter: &str, value: T) {
        let mut node = &mut self.root;
        for level in filter.split('/') {
            node = match level {
                "#" => return node.rest.push(value),
                "+" => node.any.get_or_insert_default(),
                level => node.levels.entry(level.into()).or_default(),
            };
        }
        node.here.push(value);
    }

    /// All values, in no order.
    pub(super) fn into_values(self) -> Vec<T> {
        let mut values = Vec::new();
        self.root.give_values(&mut values);
        values
    }

    /// Takes the values of a filter out.
    pub(super) fn remove(&mut self, filter: &str) -> Vec<T> {
        let levels: Vec<&str> = filter.split('/').collect();
        self.root.remove(&levels)
    }

    /// Calls `found` with every value whose filter matches. Wildcards at the start do not match a topic that begins
    /// with `$` `[MQTT-4.7.2-1]`.
    pub(super) fn matches(&self, topic: &str, found: &mut impl FnMut(&T)) {
        let mut levels = topic.split('/');
        if topic.starts_with('$') {
            if let Some(node) = levels.next().and_then(|first| self.root.levels.get(first)) {
                node.matches(levels, found);
            }
        } else {
            self.root.matches(levels, found);
        }
    }
}

impl<T> Node<T> {
    fn is_empty(&self) -> bool {
        self.levels.is_empty() && self.any.is_none() && self.here.is_empty() && self.rest.is_empty()
    }

    fn matches(&self, mut levels: Split<'_, char>, found: &mut impl FnMut(&T)) {
        self.rest.iter().for_each(&mut *found);
        let Some(first) = levels.next() else {
            return self.here.iter().for_each(found);
        };
        if let Some(node) = self.levels.get(first) {
            node.matches(levels.clone(), found);
        }
        if let Some(node) = &self.any {
            node.matches(levels, found);
        }
    }

    fn give_values(self, values: &mut Vec<T>) {
        values.extend(self.here.into_iter().chain(self.rest));
        self.any.into_iter().for_each(|node| node.give_values(values));
        self.levels.into_values().for_each(|node| node.give_values(values));
    }

    fn remove(&mut self, levels: &[&str]) -> Vec<T> {
        match levels.split_first() {
            None => std::mem::take(&mut self.here),
            Some((&"#", _)) => std::mem::take(&mut self.rest),
            Some((&"+", rest)) => {
                let removed = self.any.as_mut().map_or_else(Vec::new, |node| node.remove(rest));
                self.any.take_if(|node| node.is_empty());
                removed
            }
            Some((first, rest)) => {
                let Some(node) = self.levels.get_mut(*first) else { return Vec::new() };
                let removed = node.remove(rest);
                if node.is_empty() {
                    self.levels.remove(*first);
                }
                removed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FilterTree;
    use crate::types::{TopicFilter, TopicName};

    const FILTERS: [&str; 9] = ["#", "+", "a/#", "a/+", "a/b", "+/b", "a/b/#", "$SYS/#", "+/+/c"];
    const TOPICS: [&str; 7] = ["a", "a/b", "a/b/c", "b/b", "$SYS/x", "/", "a/"];

    #[test]
    fn the_tree_finds_what_each_filter_matches_by_itself() {
        let mut tree = FilterTree::default();
        for filter in FILTERS {
            tree.insert(filter, filter);
        }
        for topic in TOPICS {
            let mut found = Vec::new();
            tree.matches(topic, &mut |filter: &&str| found.push(*filter));
            found.sort_unstable();
            let name = TopicName::new(topic).unwrap();
            let mut expected: Vec<_> =
                FILTERS.into_iter().filter(|filter| TopicFilter::new(filter).unwrap().matches(name)).collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "{topic}");
        }
        let (mut all, mut expected) = (tree.into_values(), FILTERS);
        all.sort_unstable();
        expected.sort_unstable();
        assert_eq!(all, expected);
    }

    #[test]
    fn a_removed_filter_leaves_nothing_behind() {
        let mut tree = FilterTree::default();
        for filter in FILTERS {
            tree.insert(filter, ());
        }
        for filter in FILTERS {
            assert_eq!(tree.remove(filter).len(), 1, "{filter}");
            assert!(tree.remove(filter).is_empty(), "{filter}");
        }
        assert!(tree.is_empty());
    }
}
