"""What `from synapnet_edge import ...` promises, and what importing costs."""

import subprocess
import sys

import pytest

import synapnet_edge


def test_every_public_name_exists():
    for name in synapnet_edge.__all__:
        assert getattr(synapnet_edge, name) is not None
    assert set(synapnet_edge.__all__) <= set(dir(synapnet_edge))


def test_importing_the_package_does_not_load_torch():
    code = "import sys, synapnet_edge; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = synapnet_edge.no_such_name
