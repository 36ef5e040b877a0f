from chatapp.stream.events import BackendInfo, Message, Request


def test_the_prompt_is_the_last_user_message():
    messages = (Message("user", "first"), Message("assistant", "answer"), Message("user", "second"))
    assert Request(messages).prompt == "second"
    assert Request((*messages, Message("assistant", "more"))).prompt == "second"
    assert Request(()).prompt == ""


def test_only_a_simulated_backend_is_simulated():
    assert BackendInfo("sim:a", "A", "simulated", "sim", "a").simulated
    assert not BackendInfo("recording:a", "A", "recorded", "file", "a").simulated
