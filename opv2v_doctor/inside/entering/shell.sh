# bash reads this before a launch script that the watch goes along with (BASH_ENV). The script may set PYTHONPATH
# anew; the programs that start ranks get the folder of the watch back in front of it. Nothing else changes.
if [ -n "${OPV2V_DOCTOR_BASH_ENV-}" ] && [ -r "${OPV2V_DOCTOR_BASH_ENV-}" ]; then . "$OPV2V_DOCTOR_BASH_ENV"; fi
_opv2v_doctor() { PYTHONPATH="$OPV2V_DOCTOR_ENTERING${PYTHONPATH:+:$PYTHONPATH}" command "$@"; }
python() { _opv2v_doctor python "$@"; }
python3() { _opv2v_doctor python3 "$@"; }
torchrun() { _opv2v_doctor torchrun "$@"; }
accelerate() { _opv2v_doctor accelerate "$@"; }
deepspeed() { _opv2v_doctor deepspeed "$@"; }
srun() { _opv2v_doctor srun "$@"; }
nohup() { _opv2v_doctor nohup "$@"; }
numactl() { _opv2v_doctor numactl "$@"; }
