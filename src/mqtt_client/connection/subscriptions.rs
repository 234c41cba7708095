use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use crate::mqtt_client::command::{Requesting, RequestingKind};
use crate::mqtt_client::options::{SubscribeOptions, TopicSubscription};
use crate::mqtt_client::token::Token;

/// Filters that are restored by one packet: some servers take no more than eight.
const RESTORED_TOGETHER: usize = 8;

/// What to subscribe when the server has no session, in the order in which it was granted.
#[derive(Default)]
pub(super) struct Subscriptions {
    wanted: BTreeMap<u64, Wanted>,
    /// Where the subscription of a filter is.
    places: HashMap<String, u64>,
    last_place: u64,
}

/// A subscription that the server has granted, or that the options ask for.
struct Wanted {
    /// It does not go together with others.
    is_alone: bool,
    topic: TopicSubscription,
    options: SubscribeOptions,
    /// The call that has made it; none for those of the options.
    made_by: Option<Token>,
}

impl Subscriptions {
    /// Those of the client's options.
    pub(super) fn new(topics: &[TopicSubscription]) -> Self {
        let mut subscriptions = Self::default();
        for topic in topics {
            subscriptions.answer(topic, &SubscribeOptions::default(), None, true);
        }
        subscriptions
    }

    /// The server has granted or refused a subscription, which takes the place of one of the same filter.
    pub(super) fn answer(
        &mut self,
        topic: &TopicSubscription,
        options: &SubscribeOptions,
        made_by: Option<Token>,
        granted: bool,
    ) {
        if let Some(place) = self.places.remove(&topic.topic_filter) {
            self.wanted.remove(&place);
        }
        if granted {
            self.last_place += 1;
            self.places.insert(topic.topic_filter.clone(), self.last_place);
            let wanted = Wanted { is_alone: false, topic: topic.clone(), options: options.clone(), made_by };
            self.wanted.insert(self.last_place, wanted);
        }
    }

    /// Subscriptions that were made before a call to unsubscribe are not wanted any more.
    pub(super) fn forget(&mut self, filters: &[String], before: Option<Token>) {
        for filter in filters {
            let Some(place) = self.places.get(filter) else { continue };
            if self.wanted.get(place).is_some_and(|wanted| wanted.made_by <= before) {
                self.wanted.remove(place);
                self.places.remove(filter);
            }
        }
    }

    /// Each of these filters goes alone from now on.
    pub(super) fn separate(&mut self, topics: &[TopicSubscription]) {
        for topic in topics {
            let place = self.places.get(&topic.topic_filter);
            if let Some(wanted) = place.and_then(|place| self.wanted.get_mut(place)) {
                wanted.is_alone = true;
            }
        }
    }

    /// The requests that make them again, those of calls only if wanted; filters with the same options go together.
    pub(super) fn restore(&self, with_those_of_calls: bool) -> Vec<Requesting> {
        let mut requests: Vec<Requesting> = Vec::new();
        // The last request with these options.
        let mut open: HashMap<&SubscribeOptions, usize> = HashMap::new();
        let wanted = self.wanted.values().filter(|wanted| with_those_of_calls || wanted.made_by.is_none());
        for Wanted { is_alone, topic, options, .. } in wanted {
            if *is_alone {
                requests.push(restoring(topic, options));
                continue;
            }
            let last = open.entry(options);
            if let Entry::Occupied(entry) = &last
                && let Some(Requesting { kind: RequestingKind::Subscribe(topics, _), .. }) =
                    requests.get_mut(*entry.get())
                && topics.len() < RESTORED_TOGETHER
            {
                topics.push(topic.clone());
                continue;
            }
            last.insert_entry(requests.len());
            requests.push(restoring(topic, options));
        }
        requests
    }
}

fn restoring(topic: &TopicSubscription, options: &SubscribeOptions) -> Requesting {
    let kind = RequestingKind::Subscribe(vec![topic.clone()], None);
    Requesting { token: None, options: options.clone(), kind, in_queue: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The identifier of a request, and its filters with their QoS.
    type Restored = (Option<u32>, Vec<(String, u8)>);

    fn restored(subscriptions: &Subscriptions) -> Vec<Restored> {
        let request = |requesting: Requesting| match requesting.kind {
            RequestingKind::Subscribe(topics, _) => {
                let topics = topics.into_iter().map(|topic| (topic.topic_filter, topic.qos)).collect();
                (requesting.options.subscription_identifier, topics)
            }
            RequestingKind::Unsubscribe(..) => panic!("nothing is unsubscribed"),
        };
        subscriptions.restore(true).into_iter().map(request).collect()
    }

    fn with_id(id: u32) -> SubscribeOptions {
        SubscribeOptions { subscription_identifier: Some(id), ..Default::default() }
    }

    #[test]
    fn subscriptions_come_back_in_the_order_of_their_grants_together_with_those_of_the_same_options() {
        let mut subscriptions = Subscriptions::new(&[TopicSubscription::new("a", 0), TopicSubscription::new("b", 1)]);
        subscriptions.answer(&TopicSubscription::new("c", 2), &with_id(1), Some(Token(1)), true);
        subscriptions.answer(&TopicSubscription::new("a", 2), &SubscribeOptions::default(), Some(Token(2)), true);
        subscriptions.answer(&TopicSubscription::new("d", 2), &with_id(1), Some(Token(3)), true);
        let expected = [
            (None, vec![("b".to_string(), 1), ("a".to_string(), 2)]),
            (Some(1), vec![("c".to_string(), 2), ("d".to_string(), 2)]),
        ];
        assert_eq!(restored(&subscriptions), expected);
    }

    #[test]
    fn what_is_refused_or_unsubscribed_does_not_come_back_unless_it_was_made_later() {
        let mut subscriptions = Subscriptions::default();
        let none = SubscribeOptions::default();
        for (filter, token) in [("a", 1), ("b", 2), ("c", 9)] {
            subscriptions.answer(&TopicSubscription::new(filter, 0), &none, Some(Token(token)), true);
        }
        subscriptions.answer(&TopicSubscription::new("a", 1), &none, Some(Token(3)), false);
        subscriptions.forget(&["b".to_string(), "c".to_string(), "unknown".to_string()], Some(Token(4)));
        assert_eq!(restored(&subscriptions), [(None, vec![("c".to_string(), 0)])]);
    }

    #[test]
    fn ten_thousand_filters_come_back_by_eights() {
        let mut subscriptions = Subscriptions::default();
        for number in 0..10_000 {
            let topic = TopicSubscription::new(&format!("t/{number}"), 0);
            subscriptions.answer(&topic, &SubscribeOptions::default(), Some(Token(number)), true);
        }
        let requests = restored(&subscriptions);
        assert_eq!(requests.len(), 1250);
        assert!(requests.iter().all(|(_, topics)| topics.len() == 8));
        let filters = requests.into_iter().flat_map(|(_, topics)| topics).map(|(filter, _)| filter);
        assert!(filters.eq((0..10_000).map(|number| format!("t/{number}"))));
    }
}
