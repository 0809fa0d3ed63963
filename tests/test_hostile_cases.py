"""Which tests hold each known way in which input, names, models, storage and machines go wrong."""

import re
from pathlib import Path

import pytest

CASES: dict[int, str] = {
    1: "pillow_codec:what_is_not_one_of_the_formats_is_never_opened",
    2: "pillow_codec:whole_files_load_and_files_cut_anywhere_fail "
    "decode:half_images_stay_refused_when_another_library_allows_them",
    3: "pillow_codec:every_flipped_bit_of_a_png_is_noticed "
    "pillow_codec:a_flip_that_the_compression_does_not_notice_is_noticed_by_the_checksum",
    4: "read_shard:real_damage_is_reported_and_not_fetched_for_ever",
    5: "pillow_codec:bombs_are_refused_before_they_are_decoded",
    6: "pillow_codec:what_is_not_one_of_the_formats_is_never_opened",
    7: "decode:sixteen_bit_files_come_out_at_full_depth",
    8: "pillow_samples:signed_and_float_tiffs_keep_their_values",
    9: "pillow_samples:inks_become_colours",
    10: "pillow_samples:palettes_may_be_transparent",
    11: "pillow_samples:one_bit_and_low_depth_grey_is_spread_over_all_values",
    12: "decode:orientation_is_handed_on_and_not_applied",
    13: "decode:of_several_frames_the_first_is_read",
    14: "hostile:records_fail_once_each_and_everything_else_is_done",
    15: "decode:extreme_shapes_come_out_whole",
    16: "restart:of_two_sources_with_one_id_the_same_one_wins_in_any_order",
    17: "child_decoder:what_goes_wrong_in_a_child_costs_that_image_only",
    18: "watchdog:a_decoder_that_hangs_leaves_a_note_and_ends_the_process",
    19: "tfrecord:a_damaged_payload_costs_that_record_only",
    20: "tfrecord:a_damaged_length_is_one_place_and_the_rest_is_found_again",
    21: "tfrecord:a_truncated_tail_keeps_all_complete_records",
    22: "listing:an_empty_shard_is_warned_of",
    23: "gunzip:gzip_is_told_by_content",
    24: "example:a_missing_or_wrong_feature_names_keys_and_no_values",
    25: "example:what_is_no_example_says_so",
    26: "tfrecord:a_huge_declared_length_is_never_asked_for",
    27: "hostile:nothing_is_written_outside_the_output",
    28: "refusals:inputs_that_are_not_there_and_tables_that_do_not_fit_end_in_2",
    29: "read:a_shard_that_is_gone_or_changed_is_one_failure "
    "unread_shards:a_shard_that_vanished_since_it_was_listed_is_no_success",
    30: "hostile:a_manifest_cannot_write_outside_the_output",
    31: "ids:encoding_is_reversible_and_stays_inside",
    32: "restart:another_source_under_a_done_id_never_takes_its_mask",
    33: "ids:what_storage_forbids_is_encoded",
    34: "ids:names_that_differ_by_case_or_normalisation_are_different",
    35: "listing:names_with_glob_characters_are_never_globbed_again",
    36: "refusals:a_model_or_flag_that_is_refused_ends_in_2_and_writes_nothing",
    37: "model_safety:saved_models_that_touch_more_than_tensors_are_refused",
    38: "model_safety:hdf5_that_leads_out_or_claims_too_much_is_refused_even_if_trusted",
    39: "refusals:a_model_or_flag_that_is_refused_ends_in_2_and_writes_nothing",
    40: "refusals:inputs_that_are_not_there_and_tables_that_do_not_fit_end_in_2",
    41: "model_kinds:masks_of_many_classes_have_16_bits",
    42: "hostile:nan_pixels_can_be_ignored_instead hostile:each_file_fails_with_its_own_code",
    43: "argmax:argmax_with_ties_and_infinities_is_numpys_and_a_plain_loops",
    44: "find_head:kind_follows_from_values_and_activation",
    45: "predict:out_of_memory_halves_the_batch_until_it_fits",
    46: "hostile:one_poison_image_in_a_batch_of_64_changes_no_other_mask",
    47: "keras_loader:a_gpu_that_is_asked_for_and_absent_is_an_error",
    48: "refusals:a_model_that_a_worker_cannot_read_is_one_clear_error",
    49: "soak:three_deaths_of_a_run_with_the_real_model_change_nothing",
    50: "restart:a_signal_leaves_no_partial_file_and_the_same_command_goes_on",
    51: "cluster/flink:a_part_that_is_killed_and_replaced_changes_nothing",
    52: "restart:bundles_that_run_twice_give_the_same_tree",
    53: "refusals:a_disk_that_refuses_is_loud_and_the_same_command_goes_on",
    54: "gcs_storage:transient_faults_change_nothing faulty_proxy:a_run_through_faults_gives_the_same_tree",
    55: "gcs_storage:an_answer_lost_after_the_commit_is_success_if_the_content_is_ours",
    56: "refusals:a_bucket_that_refuses_ends_the_run_without_a_storm_of_requests",
    57: "gcs_storage:a_download_that_always_arrives_altered_is_never_returned "
    "faulty_proxy:the_pieces_of_a_large_object_go_through_the_proxy_too",
    58: "restart:two_runs_into_one_output_are_refused_while_the_first_lives",
    59: "restart:other_options_are_refused_by_name_unless_overwrite",
    60: "restart:a_file_that_is_truncated_or_missing_is_made_again",
    61: "verify:a_mask_altered_at_the_same_size_is_found",
    62: "hostile:every_input_came_to_one_end verdict:the_numbers_decide",
    63: "hostile:no_image_is_named_in_what_the_run_says",
    64: "hostile:spreadsheets_see_no_formula",
    65: "refusals:a_model_or_flag_that_is_refused_ends_in_2_and_writes_nothing",
    66: "hostile:too_many_failures_end_in_3_with_all_else_done",
}


@pytest.mark.parametrize(("case", "tests"), CASES.items())
def test_the_tests_of_a_case_are_there(case: int, tests: str) -> None:
    for test in tests.split():
        module, name = test.split(":")
        folder, _, stem = module.rpartition("/")
        (path,) = Path("tests", folder).rglob(f"test_{stem}.py")
        text = path.read_text()
        assert re.search(rf"^ *def test_{name}\(", text, re.MULTILINE), f"case {case}: {test}"


def test_no_case_is_left_out() -> None:
    assert sorted(CASES) == list(range(1, 67))
