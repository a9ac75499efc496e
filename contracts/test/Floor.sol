// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Vm, VmSafe} from "forge-std/Vm.sol";
import {Signing} from "./Signing.sol";

/// @notice What the EVM asks for a transaction that leaves the same slots and tells the same events, whatever the code: 21,000;
/// 22,100 a slot that was zero; 5,000 a slot that is changed (2,100 to find it, 2,900 to change it); and its logs (EIP-2929,
/// EIP-2200; 375 a log and a topic, 8 a byte). Calldata, signatures, cold reads and arithmetic come on top.
abstract contract Floor is Signing {
    struct Bill {
        uint256 transactions;
        uint256 fresh; // slots
        uint256 changed; // slots
        uint256 logs; // gas
    }

    Bill internal _bill;
    bytes32[] private _touched;
    mapping(bytes32 slot => bytes32) private _before;
    mapping(bytes32 slot => bytes32) private _after;
    uint256 private _serial; // of the transaction, in all bills
    mapping(bytes32 slot => uint256) private _seenIn;

    function _startBill() internal {
        delete _bill;
        vm.startStateDiffRecording();
        vm.recordLogs();
        vm.getRecordedLogs(); // what was told before is not on this bill
    }

    /// @dev After each transaction: what it left behind.
    function _billLast() internal {
        (++_bill.transactions, ++_serial);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            _bill.logs += 375 + 375 * logs[i].topics.length + 8 * logs[i].data.length;
        }
        VmSafe.AccountAccess[] memory accesses = vm.stopAndReturnStateDiff();
        delete _touched;
        for (uint256 i; i < accesses.length; ++i) {
            _note(accesses[i].storageAccesses);
        }
        for (uint256 i; i < _touched.length; ++i) {
            (bytes32 old, bytes32 now_) = (_before[_touched[i]], _after[_touched[i]]);
            if (old == now_) continue;
            if (old == 0) ++_bill.fresh;
            else ++_bill.changed;
        }
        vm.startStateDiffRecording();
    }

    function _floor() internal view returns (uint256 gas) {
        return 21_000 * _bill.transactions + 22_100 * _bill.fresh + 5_000 * _bill.changed + _bill.logs;
    }

    function _note(VmSafe.StorageAccess[] memory accesses) private {
        for (uint256 i; i < accesses.length; ++i) {
            VmSafe.StorageAccess memory each = accesses[i];
            if (!each.isWrite || each.reverted || each.account != address(market)) continue;
            if (_seenIn[each.slot] != _serial) {
                _seenIn[each.slot] = _serial;
                _before[each.slot] = each.previousValue;
                _touched.push(each.slot);
            }
            _after[each.slot] = each.newValue;
        }
    }
}
