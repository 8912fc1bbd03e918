"""The option --device of the commands that encode."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.delenv("HPDSEARCH_BACKEND")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_without_a_gpu_the_cpu_encodes(run, corpus, tiny_folder, device):
    result = run("index", corpus, "--encoder", tiny_folder, "-o", "index", "--device", device)
    assert result.exit_code == 0, result.output
    assert run("add", "index", corpus, "--device", device).exit_code == 0
    assert run("refine", "index", "--device", device).exit_code == 0
    assert run("index", corpus, "-o", "index", "--update", "--device", device).exit_code == 0
    assert ", backend onnx" in run("info", "index").stdout


def test_cuda_without_a_gpu_ends_with_one_line(run, corpus, tiny_folder):
    for arguments in (("index", corpus, "-o", "index"), ("encode", corpus)):
        result = run(*arguments, "--encoder", tiny_folder, "--device", "cuda")
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: device cuda: expected a GPU that torch ")
    assert run("encode", corpus, "--device", "tpu").exit_code == 2


def test_verbose_names_backend_and_device(run, corpus, tiny_folder, caplog):
    run("encode", corpus, "--encoder", tiny_folder, "-v")
    assert f"encoder {tiny_folder} loaded in" in caplog.text
    assert "backend onnx, device cpu" in caplog.text
