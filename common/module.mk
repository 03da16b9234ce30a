common_src := common/why.c common/log.c common/fault.c
