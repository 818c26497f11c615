//! Section 4: an answer from what is stored, and its age (5.1).

use crate::{
    stage::Wire,
    table::{asks, either, hit, made, ok, run, same, valid},
};

#[tokio::test(flavor = "multi_thread")]
async fn section_4_answers_and_5_1_age() {
    run(vec![
        ("s4_a_hit_has_an_age", vec![asks(ok("Cache-Control: max-age=60")).lacks("Age"), hit(0).age(0, 9)]),
        ("s4_a_hit_keeps_its_date", vec![asks(ok("Cache-Control: max-age=600\nDate: {-50}")), hit(0).same("Date")]),
        ("s4_2_3_age_adds_up", vec![asks(ok("Cache-Control: max-age=3600\nAge: 100")), hit(0).age(100, 109)]),
        ("s4_2_3_age_is_at_least_what_date_says", vec![asks(ok("Cache-Control: max-age=3600\nDate: {-50}")), hit(0).age(50, 59)]),
        (
            "s4_2_3_age_is_the_greater_of_date_and_age",
            vec![asks(ok("Cache-Control: max-age=3600\nDate: {-50}\nAge: 30")), hit(0).age(50, 59)],
        ),
        (
            "s4_2_3_age_is_the_greater_of_age_and_date",
            vec![asks(ok("Cache-Control: max-age=3600\nDate: {-50}\nAge: 90")), hit(0).age(90, 99)],
        ),
        (
            "s4_2_3_a_date_in_the_future_is_no_negative_age",
            vec![asks(ok("Cache-Control: max-age=3600\nDate: {+50}")), hit(0).age(0, 9)],
        ),
        (
            "s4_2_3_a_date_in_the_future_does_not_lessen_age",
            vec![asks(ok("Cache-Control: max-age=3600\nDate: {+50}\nAge: 40")), hit(0).age(40, 49)],
        ),
        (
            "s4_2_3_age_grows_while_it_is_stored",
            vec![asks(ok("Cache-Control: max-age=3600\nAge: 10")).pause(2_000), hit(0).age(12, 19)],
        ),
        (
            "s4_2_3_the_time_of_the_answer_counts",
            vec![asks(ok("Cache-Control: max-age=1").after(2_100)), asks(ok("Cache-Control: max-age=60"))],
        ),
        (
            "s4_2_3_the_time_of_the_answer_is_added_to_age",
            vec![asks(ok("Cache-Control: max-age=600\nAge: 20").after(2_100)), hit(0).age(22, 29)],
        ),
        ("s5_1_there_is_one_age", vec![asks(ok("Cache-Control: max-age=3600\nAge: 100")).is("Age: 100"), hit(0).age(100, 109)]),
        (
            "s5_1_an_age_that_is_no_number_is_ignored",
            vec![asks(ok("Cache-Control: max-age=60\nAge: abc")), either(0, ok("Cache-Control: max-age=60")).status(200)],
        ),
        (
            "s5_1_a_negative_age_makes_nothing_fresher",
            vec![asks(ok("Cache-Control: max-age=60\nAge: -100\nDate: {-70}")), asks(ok("Cache-Control: max-age=60"))],
        ),
        (
            "s5_1_a_huge_age_is_stale",
            vec![asks(ok("Cache-Control: max-age=3600\nAge: 2147483648")), asks(ok("Cache-Control: max-age=60"))],
        ),
        (
            "s5_1_an_age_that_overflows_is_stale",
            vec![asks(ok("Cache-Control: max-age=3600\nAge: 99999999999999999999999")), asks(ok("Cache-Control: max-age=60"))],
        ),
        (
            "s5_1_of_several_ages_the_first_counts",
            vec![asks(ok("Cache-Control: max-age=3600\nAge: 7200\nAge: 0")), asks(ok("Cache-Control: max-age=60"))],
        ),
        ("s4_an_old_client_gets_what_is_stored", vec![asks(ok("Cache-Control: max-age=60")), hit(0).old(), hit(0)]),
        (
            "s4_an_old_client_gets_what_came_in_chunks",
            vec![asks(ok("Cache-Control: max-age=60").wire(Wire::Chunked)), hit(0).old().lacks("Transfer-Encoding"), hit(0)],
        ),
        (
            "s4_what_an_old_client_asked_for_is_for_others_too",
            vec![
                asks(ok("Cache-Control: max-age=60").wire(Wire::LateChunked)).old().lacks("Transfer-Encoding"),
                hit(0),
                hit(0).old(),
            ],
        ),
        ("s4_an_age_of_nothing_is_fresh", vec![asks(ok("Cache-Control: max-age=60\nAge: 0")), hit(0).age(0, 9)]),
        (
            "s4_what_was_just_validated_is_young_again",
            vec![
                asks(ok("Cache-Control: max-age=60\nAge: 100\nETag: \"a\"")),
                valid(0, same("Cache-Control: max-age=60\nETag: \"a\"")),
                hit(0).age(0, 9),
            ],
        ),
        (
            "s4_the_newer_of_two_answers_is_taken",
            vec![
                asks(ok("Cache-Control: max-age=600\nDate: {-100}")),
                asks(ok("Cache-Control: max-age=600\nDate: {-10}")).with("Cache-Control: no-cache"),
                hit(1),
            ],
        ),
        (
            "s4_cached_answers_to_two_clients_are_alike",
            vec![
                asks(ok("Cache-Control: max-age=60\nX-A: b")).with("X-Client: 1"),
                hit(0).with("X-Client: 2").is("X-A: b"),
                hit(0).with("X-Client: 3").is("X-A: b"),
            ],
        ),
        (
            "s4_only_if_cached_gets_what_is_fresh_and_nothing_else",
            vec![
                made(504).with("Cache-Control: only-if-cached"),
                asks(ok("Cache-Control: max-age=60")),
                hit(0).with("Cache-Control: only-if-cached"),
            ],
        ),
        (
            "rfc9211_cache_status_says_what_happened",
            vec![asks(ok("Cache-Control: max-age=60")).has("Cache-Status"), hit(0).has("Cache-Status")],
        ),
    ])
    .await;
}
