#!/bin/sh
# In the container: the service with these options; ComfyUI runs with the Python that has torch.
ISI_PYTHON=$(cat /opt/python)
export ISI_PYTHON
exec /opt/service/bin/python /opt/isi-nodes/service "$@"
